//! The cache: what a key expands to, and what dataset items are made from (specification, 7).

use argon2::{Algorithm, Argon2, Params, Version};

use crate::engine::Error;
#[cfg(all(feature = "jit", target_arch = "x86_64"))]
use crate::jit::ItemCode;
use crate::mapping::{Mapping, Pages};
use crate::parameters::Parameters;
use crate::superscalar::{Program, Steps};

/// One item of the dataset: what a program reads at once.
pub(crate) type Item = [u64; 8];

/// The factor that an item's number is spread with, and what makes its registers differ (specification, 7.3).
pub(crate) const SPREAD: u64 = 6_364_136_223_846_793_005;
pub(crate) const START: Item = [
    0,
    9_298_411_001_130_361_340,
    12_065_312_585_734_608_966,
    9_306_329_213_124_626_780,
    5_281_919_268_842_080_866,
    10_536_153_434_571_861_004,
    3_398_623_926_847_679_864,
    9_549_104_520_008_361_294,
];

/// Memory and programs of one key.
#[derive(Debug)]
pub(crate) struct Cache {
    parameters: Parameters,
    memory: Mapping,
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    programs: Vec<Program>,
    steps: Vec<Steps>,
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    code: Option<ItemCode>,
}

impl Cache {
    /// Expands a key, of which the programs take 60 bytes; a second of one thread's work that nothing can interrupt.
    pub(crate) fn new(parameters: Parameters, key: &[u8], pages: Pages) -> Result<Self, Error> {
        let bytes = usize::try_from(parameters.cache_bytes()).unwrap_or(usize::MAX);
        let mut memory = Mapping::new("cache", bytes, pages)?;
        let blocks = &mut memory.values_mut::<argon2::Block>()[..parameters.argon_memory as usize];
        Params::new(parameters.argon_memory, parameters.argon_iterations, 1, None)
            .map(|cost| Argon2::new(Algorithm::Argon2d, Version::V0x13, cost))
            .and_then(|argon| argon.fill_memory(key, parameters.argon_salt, blocks))
            .map_err(Error::Key)?;
        let programs = Program::all(&parameters, key);
        Ok(Self {
            parameters,
            memory,
            steps: programs.iter().map(Steps::of).collect(),
            #[cfg(all(feature = "jit", target_arch = "x86_64"))]
            programs,
            #[cfg(all(feature = "jit", target_arch = "x86_64"))]
            code: None,
        })
    }

    /// Turns the programs into machine code.
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    pub(crate) fn compile(&mut self) -> Result<(), Error> {
        self.code = Some(ItemCode::new(self)?);
        Ok(())
    }

    #[cfg(not(all(feature = "jit", target_arch = "x86_64")))]
    pub(crate) fn compile(&mut self) -> Result<(), Error> {
        Err(Error::NoCode)
    }

    /// The programs as machine code, if they were compiled.
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    pub(crate) const fn code(&self) -> Option<&ItemCode> {
        self.code.as_ref()
    }

    /// Makes the items of the dataset from number `first` on.
    pub(crate) fn fill(&self, first: u64, items: &mut [Item]) {
        #[cfg(all(feature = "jit", target_arch = "x86_64"))]
        if let Some(code) = &self.code {
            return code.fill(self, first, items);
        }
        for (number, items) in (first..).step_by(2).zip(items.chunks_mut(2)) {
            items.copy_from_slice(&self.pair([number, number + 1])[..items.len()]);
        }
    }

    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    pub(crate) fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// How many items a thread makes between two looks at the caller's wish to stop: some 20 ms of its time.
    pub(crate) const fn chunk_items(&self) -> usize {
        if self.is_compiled() { 16_384 } else { 2_048 }
    }

    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    const fn is_compiled(&self) -> bool {
        self.code.is_some()
    }

    #[cfg(not(all(feature = "jit", target_arch = "x86_64")))]
    const fn is_compiled(&self) -> bool {
        false
    }

    /// The lines that are mixed into items; their number is a power of two.
    pub(crate) fn lines(&self) -> &[Item] {
        let lines = self.parameters.cache_bytes() / size_of::<Item>() as u64;
        &self.memory.values()[..usize::try_from(lines).unwrap_or(usize::MAX)]
    }

    /// Makes two items of the dataset together.
    pub(crate) fn pair(&self, numbers: [u64; 2]) -> [Item; 2] {
        let lines = self.lines();
        let firsts = numbers.map(|number| number.wrapping_add(1).wrapping_mul(SPREAD));
        let mut registers = START.map(|constant| firsts.map(|first| first ^ constant));
        let mut addresses = numbers;
        for steps in &self.steps {
            steps.run(&mut registers);
            for (at, address) in addresses.into_iter().enumerate() {
                let line = usize::try_from(address).unwrap_or(usize::MAX) & (lines.len() - 1);
                for (register, word) in registers.iter_mut().zip(&lines[line]) {
                    register[at] ^= word;
                }
            }
            addresses = steps.addresses(&registers);
        }
        core::array::from_fn(|at| registers.map(|register| register[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    use crate::superscalar::{Instruction, OPERATIONS, Operation, extend};

    impl Cache {
        fn item(&self, number: u64) -> Item {
            self.pair([number; 2])[0]
        }

        /// The same memory with other programs, compiled.
        #[cfg(all(feature = "jit", target_arch = "x86_64"))]
        fn with(self, programs: Vec<Program>) -> Self {
            let steps = programs.iter().map(Steps::of).collect();
            let mut cache = Self { programs, steps, ..self };
            cache.compile().unwrap();
            cache
        }
    }

    /// Brings a register to a value, whatever it held.
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    fn set(register: u8, value: u64) -> Vec<Instruction> {
        let step = |operation, constant| Instruction {
            operation,
            dst: register,
            src: register,
            shift: 0,
            constant,
        };
        vec![
            step(Operation::Xor, 0),
            step(Operation::XorConstant, 1),
            step(Operation::MultiplyReciprocal, value),
        ]
    }

    #[test]
    fn the_cache_and_its_items_are_those_of_the_published_key() {
        let cache = Cache::new(Parameters::STOCK, b"test key 000", Pages::Small).unwrap();
        let words = cache.memory.values::<u64>();
        assert_eq!(words[0], 0x191e_0e1d_23c0_2186);
        assert_eq!(words[1_568_413], 0xf1b6_2fe6_210b_f8b1);
        assert_eq!(words[33_554_431], 0x1f47_f056_d05c_d99b);
        assert_eq!(cache.item(0)[0], 0x6805_88a8_5ae2_22db);
        assert_eq!(cache.item(10_000_000)[0], 0x7943_a1f6_186f_fb72);
        assert_eq!(cache.item(20_000_000)[0], 0x9035_244d_7180_95e1);
        assert_eq!(cache.item(30_000_000)[0], 0x145a_5091_f785_3099);
    }

    #[test]
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    fn machine_code_does_every_operation_at_its_edges_as_the_interpreter_does() {
        const EDGES: [u64; 8] =
            [0, 1, 2, u64::MAX, 1 << 63, u64::MAX >> 1, 0xffff_ffff, 0x8000_0000_8000_0000];
        let small = Parameters { argon_memory: 1024, ..Parameters::FLUENCE };
        let mut cache = Cache::new(small, b"edges", Pages::Small).unwrap();
        for operation in OPERATIONS {
            for (dst, src) in EDGES.iter().flat_map(|dst| EDGES.map(|src| (*dst, src))) {
                // Only a reciprocal is wider than 32 bits.
                let narrow = extend((src & 0xffff_ffff).try_into().unwrap());
                let constant =
                    if operation == Operation::MultiplyReciprocal { src } else { narrow };
                let it = Instruction {
                    operation,
                    dst: 2,
                    src: 6,
                    shift: (src & 3).try_into().unwrap(),
                    constant,
                };
                let instructions = [set(2, dst), set(6, src), vec![it]].concat();
                cache = cache.with(vec![Program { instructions, address_register: 2 }]);
                let mut items = [[0; 8]; 5];
                cache.fill(7, &mut items);
                for (number, item) in (7..).zip(items) {
                    assert_eq!(item, cache.item(number), "{operation:?} {dst:#x} {src:#x}");
                }
            }
        }
    }

    #[test]
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    fn machine_code_makes_the_same_items() {
        for (parameters, key) in [
            (Parameters::STOCK, "one"),
            (Parameters::FLUENCE, "two"),
            (Parameters::FLUENCE, "three"),
        ] {
            let mut cache = Cache::new(parameters, key.as_bytes(), Pages::Transparent).unwrap();
            cache.compile().unwrap();
            for first in [0, 1, 12_345_678, parameters.dataset_items() - 37] {
                let mut items = [[0; 8]; 37];
                cache.fill(first, &mut items);
                for (number, item) in (first..).zip(items) {
                    assert_eq!(item, cache.item(number), "{key} {number}");
                }
            }
        }
    }
}
