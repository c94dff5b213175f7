//! The virtual machine: a scratchpad, registers, and the programs of one hash after another (specification, 2).

use std::sync::Arc;

use crate::aes::{self, State};
use crate::blake::{hash_256, hash_512};
use crate::cache::{Cache, Item};
use crate::dataset::Dataset;
use crate::engine::Error;
use crate::float::{Pair, Rounding};
use crate::interpreter::{self, Items};
#[cfg(all(feature = "jit", target_arch = "x86_64"))]
use crate::jit::{ItemSource, ProgramCode};
use crate::mapping::{MapError, Mapping, Pages};
use crate::parameters::Parameters;
use crate::program::{self, Configuration, Decoder};

/// The register file, as the next program's seed is hashed from it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(crate) struct Registers {
    pub(crate) integers: [u64; 8],
    /// Four additive registers, then four multiplicative ones.
    pub(crate) floats: [Pair; 8],
    pub(crate) constants: [Pair; 4],
}

impl Registers {
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        let floats = self.floats.iter().chain(&self.constants).flat_map(|pair| pair.0);
        self.integers.into_iter().chain(floats)
    }

    fn bytes(&self) -> [u8; 256] {
        let mut bytes = [0; 256];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.words()) {
            *bytes = word.to_le_bytes();
        }
        bytes
    }
}

/// Where items of the dataset come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Made from the cache, one by one.
    Light(Arc<Cache>),
    /// Read.
    Full(Arc<Dataset>),
}

impl Source {
    /// One item; in light mode made by machine code where there is some.
    pub(crate) fn item(&self, number: u64) -> Item {
        match self {
            Self::Light(cache) => {
                let mut item = [Item::default()];
                cache.fill(number, &mut item);
                item[0]
            }
            Self::Full(dataset) => dataset.item(number),
        }
    }

    /// How generated code reaches the items; `None` if they are made by a cache that is not compiled.
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    fn compiled(&self) -> Option<ItemSource<'_>> {
        match self {
            Self::Light(cache) => {
                cache.code().map(|code| ItemSource::Made(code, cache.lines().as_ptr().cast()))
            }
            Self::Full(dataset) => Some(ItemSource::Read(dataset.start())),
        }
    }
}

impl Items for Source {
    #[inline]
    fn pair(&self, numbers: [u64; 2]) -> [Item; 2] {
        match self {
            Self::Light(cache) => cache.pair(numbers),
            Self::Full(dataset) => numbers.map(|number| dataset.item(number)),
        }
    }
}

/// One thread's machine.
#[derive(Debug)]
pub(crate) struct Machine {
    parameters: Parameters,
    decoder: Decoder,
    source: Source,
    scratchpad: Mapping,
    program: Vec<u64>,
    registers: Registers,
    seed: State,
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    code: Option<ProgramCode>,
}

impl Machine {
    pub(crate) fn new(
        parameters: Parameters,
        source: Source,
        pages: Pages,
    ) -> Result<Self, MapError> {
        Ok(Self {
            #[cfg(all(feature = "jit", target_arch = "x86_64"))]
            code: None,
            parameters,
            decoder: Decoder::new(&parameters),
            source,
            scratchpad: Mapping::new("scratchpad", parameters.scratchpad_l3 as usize, pages)?,
            program: vec![0; program::words(&parameters)],
            registers: Registers::default(),
            seed: State::default(),
        })
    }

    /// Has programs run as machine code from now on; made items are compiled if the cache is.
    #[cfg(all(feature = "jit", target_arch = "x86_64"))]
    pub(crate) fn compile(&mut self) -> Result<(), Error> {
        self.code = Some(ProgramCode::new(&self.parameters)?);
        Ok(())
    }

    #[cfg(not(all(feature = "jit", target_arch = "x86_64")))]
    pub(crate) fn compile(&mut self) -> Result<(), Error> {
        Err(Error::NoCode)
    }

    /// Fills the scratchpad for an input.
    pub(crate) fn begin(&mut self, input: &[u8]) {
        self.seed = words(&hash_512(input));
        let length = self.scratchpad_words();
        aes::fill(&mut self.seed, &mut self.scratchpad.values_mut()[..length]);
    }

    /// Gives the hash of the input that was begun last.
    pub(crate) fn finish(&mut self) -> [u8; 32] {
        self.run();
        let length = self.scratchpad_words();
        let print = aes::fingerprint(&self.scratchpad.values()[..length]);
        self.hash(&print)
    }

    /// Gives the hash of the input that was begun last, and begins the next.
    pub(crate) fn advance(&mut self, next: &[u8]) -> [u8; 32] {
        self.run();
        self.seed = words(&hash_512(next));
        let length = self.scratchpad_words();
        let scratchpad = &mut self.scratchpad.values_mut()[..length];
        let print = aes::fingerprint_and_fill(scratchpad, &mut self.seed);
        self.hash(&print)
    }

    const fn scratchpad_words(&self) -> usize {
        self.parameters.scratchpad_l3 as usize / 8
    }

    /// The hash of the registers, of which the constant ones give way to the scratchpad's fingerprint.
    fn hash(&mut self, print: &State) -> [u8; 32] {
        for (constant, words) in self.registers.constants.iter_mut().zip(print.as_chunks::<2>().0) {
            *constant = Pair(*words);
        }
        hash_256(&self.registers.bytes())
    }

    fn run(&mut self) {
        let mut rounding = Rounding::Nearest;
        for number in 0..self.parameters.program_count {
            if number > 0 {
                self.seed = words(&hash_512(&self.registers.bytes()));
            }
            aes::fill_program(&self.seed, &mut self.program);
            let configuration = Configuration::of(&self.program, &self.parameters);
            self.run_one(&configuration, &mut rounding);
        }
    }

    fn run_one(&mut self, configuration: &Configuration, rounding: &mut Rounding) {
        let length = self.scratchpad_words();
        let scratchpad = &mut self.scratchpad.values_mut()[..length];
        let configuration = (configuration, self.parameters.program_iterations);
        #[cfg(all(feature = "jit", target_arch = "x86_64"))]
        if let (Some(code), Some(source)) = (&mut self.code, self.source.compiled()) {
            return code.run(
                (&self.decoder, &self.program),
                configuration,
                source,
                scratchpad,
                &mut self.registers,
                rounding,
            );
        }
        interpreter::run(
            (&self.decoder, &self.program),
            configuration,
            &self.source,
            scratchpad,
            &mut self.registers,
            rounding,
        );
    }
}

fn words(bytes: &[u8; 64]) -> State {
    let (chunks, _) = bytes.as_chunks::<8>();
    core::array::from_fn(|at| u64::from_le_bytes(chunks[at]))
}

#[cfg(test)]
mod tests {
    use crate::hash::Hash;
    use rstest::rstest;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2).map(|pair| core::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn light(parameters: Parameters, key: &[u8]) -> Machine {
        let cache = Cache::new(parameters, key, Pages::Transparent).unwrap();
        Machine::new(parameters, Source::Light(Arc::new(cache)), Pages::Transparent).unwrap()
    }

    fn compiled(parameters: Parameters, key: &[u8]) -> Machine {
        let mut cache = Cache::new(parameters, key, Pages::Transparent).unwrap();
        cache.compile().unwrap();
        let source = Source::Light(Arc::new(cache));
        let mut machine = Machine::new(parameters, source, Pages::Transparent).unwrap();
        machine.compile().unwrap();
        machine
    }

    #[rstest]
    #[case::published(
        Parameters::STOCK,
        b"test key 000",
        b"This is a test",
        "639183aae1bf4c9a35884cb46b09cad9175f04efd7684e7262a0ac1c2f0b4e3f"
    )]
    #[case::published_long(
        Parameters::STOCK,
        b"test key 000",
        b"Lorem ipsum dolor sit amet",
        "300a0adb47603dedb42228ccb2b211104f4da45af709cd7547cd049e9489c969"
    )]
    #[case::published_another_key(
        Parameters::STOCK,
        b"test key 001",
        b"sed do eiusmod tempor incididunt ut labore et dolore magna aliqua",
        "e9ff4503201c0c2cca26d285c93ae883f9b1d30c9eb240b820756f2d5a7905fc"
    )]
    #[case::published_longer(
        Parameters::STOCK,
        b"test key 000",
        b"sed do eiusmod tempor incididunt ut labore et dolore magna aliqua",
        "c36d4ed4191e617309867ed66a443be4075014e2b061bcdaf9ce7b721d2b77a8"
    )]
    #[case::published_of_a_block(
        Parameters::STOCK,
        b"test key 001",
        &bytes("0b0b98bea7e805e0010a2126d287a2a0cc833d312cb786385a7c2f9de69d25537f584a9bc9977b00000000666fd8753bf61a8631f12984e3fd44f4014eca629276817b56f32e9b68bd82f416"),
        "c56414121acda1713c2f2a819d8ae38aed7c80c35c2a769298d34f03833cd5f1"
    )]
    #[case::published_edge_of_a_subtraction(
        Parameters::STOCK,
        &bytes("7797373ea4633194640bf8d8c3b66724d6aa7bd2dc20e009df2f8f1710abe8"),
        &bytes("1010e1eaf8cf067b37b5f0ee031ab23ed1755e090a3af4415830145853e2be3e1f6821fed84dae58d00e00da5214d6c1f2d0622e0abd51f9373d04e0b0f8e6d6514d90689721c4aac5a9bb0d"),
        "78af2a1864c42abce36d2e8983e13df99b2af0ce1362999af09fab004d4435a8"
    )]
    #[case::the_market_of_a_unit(
        Parameters::FLUENCE,
        &bytes("3e92e0db88d6afea9edc4eedf62fffa4d92bcdfc310dccbe943747fe8302e871"),
        &[0x33; 32],
        "7adce3372ba6aa75a71db697f7cee24208ff68605cfd2a0f3774714c3d33b278"
    )]
    #[case::stock_of_short_ones(Parameters::STOCK, &[1, 2, 3, 4, 5, 6, 7], &[2, 3, 4, 5, 6, 7], "994bd0e6")]
    #[case::the_market_of_short_ones(Parameters::FLUENCE, &[1, 2, 3, 4, 5, 6, 7], &[2, 3, 4, 5, 6, 7], "43ef5412f7085db63dfbb799435457da870ef9a31fbe0f5a393c508a25b67a23")]
    #[case::the_market_of_zeros(Parameters::FLUENCE, &[0; 32], &[0; 32], "6b366e77bfd1e3814d18925d667254b717f7995b3688bd521c8921b0435edc88")]
    fn vectors_come_out(
        #[case] parameters: Parameters,
        #[case] key: &[u8],
        #[case] input: &[u8],
        #[case] want: &str,
    ) {
        for mut machine in [light(parameters, key), compiled(parameters, key)] {
            machine.begin(b"another input first");
            machine.advance(input);
            assert_eq!(Hash::<()>::new(machine.advance(input)).to_string()[..want.len()], *want);
            assert_eq!(Hash::<()>::new(machine.finish()).to_string()[..want.len()], *want);
        }
    }
}
