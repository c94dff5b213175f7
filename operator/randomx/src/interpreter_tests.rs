//! What instructions do, by values from outside of this crate: the reference's own tests where it has one, else arithmetic.

use rstest::rstest;

use super::*;
use crate::parameters::Parameters;

/// The opcode of an instruction by its number in the specification's table.
fn opcode(number: usize) -> u64 {
    let before: u64 =
        Parameters::STOCK.frequencies[..number].iter().map(|count| u64::from(*count)).sum();
    before + u64::from(Parameters::STOCK.frequencies[number]) - 1
}

const DST: u64 = 3;
const SRC: u64 = 6;

/// An instruction's word; register numbers have higher bits, which do not count.
fn word(number: usize, dst: u64, src: u64, modifier: u64, constant: u32) -> u64 {
    opcode(number)
        | (0x28 | dst) << 8
        | (0xb0 | src) << 16
        | modifier << 24
        | u64::from(constant) << 32
}

struct Machine {
    scratchpad: Vec<u64>,
    integers: [u64; 8],
    floats: [Pair; 8],
    constants: [Pair; 4],
    divisor_bits: Pair,
    rounding: Rounding,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            scratchpad: vec![0; Parameters::STOCK.scratchpad_l3 as usize / 8],
            integers: [0; 8],
            floats: [Pair::default(); 8],
            constants: [Pair::default(); 4],
            divisor_bits: Pair::default(),
            rounding: Rounding::Nearest,
        }
    }
}

impl Machine {
    /// Runs one instruction, which is the last of a program.
    fn run(&mut self, word: u64) {
        let decoder = Decoder::new(&Parameters::STOCK);
        let mut program = [0; 17];
        program[16] = word;
        let instructions: Vec<_> = decoder.decode(&program).collect();
        let mut run = Run {
            instructions: &instructions,
            scratchpad: &mut self.scratchpad,
            masks: *decoder.masks(),
            integers: self.integers,
            floats: self.floats,
            constants: self.constants,
            operand_bits: self.divisor_bits,
            rounding: self.rounding,
        };
        run.all();
        (self.integers, self.floats, self.rounding) = (run.integers, run.floats, run.rounding);
    }
}

const MIN: u64 = 1 << 63;
const MAX: u64 = MIN - 1;
const MINUS: u64 = u64::MAX;

#[rstest]
#[case::add_shifted(0, 0, MAX, 1, MIN)]
#[case::add_shifted_by_three(0, 3, MINUS, 1, 7)]
#[case::subtract(2, 0, 0, 1, MINUS)]
#[case::subtract_min(2, 0, MIN, 1, MAX)]
#[case::multiply(4, 0, MIN, MINUS, MIN)]
#[case::multiply_by_zero(4, 0, MINUS, 0, 0)]
#[case::multiply_of_the_reference(
    4,
    0,
    0xBC55_0E96_BA88_A72B,
    0xF539_1FA9_F18D_6273,
    0x2872_3424_A910_8E51
)]
#[case::multiply_high(6, 0, MINUS, MINUS, MINUS - 1)]
#[case::multiply_high_of_min(6, 0, MIN, MIN, 1 << 62)]
#[case::multiply_high_of_the_reference(
    6,
    0,
    0xBC55_0E96_BA88_A72B,
    0xF539_1FA9_F18D_6273,
    0xB467_6D31_D2B3_4883
)]
#[case::multiply_high_signed(8, 0, MINUS, MINUS, 0)]
#[case::multiply_high_signed_of_min(8, 0, MIN, MIN, 1 << 62)]
#[case::multiply_high_signed_of_one_and_minus_one(8, 0, 1, MINUS, MINUS)]
#[case::multiply_high_signed_of_the_reference(
    8,
    0,
    0xBC55_0E96_BA88_A72B,
    0xF539_1FA9_F18D_6273,
    0x02D9_3EF1_269D_3EE5
)]
#[case::negate(11, 0, MINUS, 0, 1)]
#[case::negate_min(11, 0, MIN, 0, MIN)]
#[case::xor(12, 0, 0x8888_8888_8888_8888, 0xAAAA_AAAA_AAAA_AAAA, 0x2222_2222_2222_2222)]
#[case::rotate_right_of_the_reference(
    14,
    0,
    953_360_005_391_419_562,
    4_569_451_684_712_230_561,
    0xD835_C455_069D_81EF
)]
#[case::rotate_right_by_a_whole_turn(14, 0, MIN, 64, MIN)]
#[case::rotate_left_of_the_reference(
    15,
    0,
    953_360_005_391_419_562,
    4_569_451_684_712_230_561,
    6_978_065_200_552_740_799
)]
#[case::rotate_left_by_minus_one(15, 0, 1, MINUS, MIN)]
#[case::swap(16, 0, 1, 2, 2)]
fn registers_make_a_register(
    #[case] number: usize,
    #[case] shift: u64,
    #[case] dst: u64,
    #[case] src: u64,
    #[case] want: u64,
) {
    let mut machine = Machine::default();
    (machine.integers[3], machine.integers[6]) = (dst, src);
    machine.run(word(number, DST, SRC, shift << 2, 0xC0CB_9AD2));
    assert_eq!(machine.integers[3], want);
    assert_eq!(machine.integers[6], if number == 16 { dst } else { src });
}

/// A constant of 32 bits is extended by its sign.
#[rstest]
#[case::subtract(2, 0, 0x3F34_652E)]
#[case::subtract_from_min(2, MIN, MIN + 0x3F34_652E)]
#[case::multiply(4, 1, 0xFFFF_FFFF_C0CB_9AD2)]
#[case::multiply_high_squares(6, MINUS, MINUS - 1)]
#[case::multiply_high_signed_squares(8, MINUS, 0)]
#[case::xor(12, MINUS, 0x3F34_652D)]
#[case::rotate_right(14, 1 << 18, 1)]
#[case::rotate_left(15, 1, 1 << 18)]
#[case::swap_with_itself(16, 7, 7)]
fn a_register_and_a_constant_make_a_register(
    #[case] number: usize,
    #[case] dst: u64,
    #[case] want: u64,
) {
    let mut machine = Machine::default();
    machine.integers[3] = dst;
    machine.run(word(number, DST, DST, 0, 0xC0CB_9AD2));
    assert_eq!(machine.integers[3], want);
}

#[test]
fn only_register_five_is_added_a_constant_with_its_shift() {
    let mut machine = Machine { integers: [0, 0, 0, 1, 0, 1, 1, 0], ..Machine::default() };
    machine.run(word(0, 5, SRC, 0b1000, 0xC0CB_9AD2));
    machine.run(word(0, DST, SRC, 0b1000, 0xC0CB_9AD2));
    assert_eq!(machine.integers[5], 5_u64.wrapping_add(0xFFFF_FFFF_C0CB_9AD2));
    assert_eq!(machine.integers[3], 5);
}

/// Reciprocals of the reference's own tests; of 0 and powers of two there is none, and nothing happens.
#[rstest]
#[case::three(3, Some(12_297_829_382_473_034_410))]
#[case::thirteen(13, Some(11_351_842_506_898_185_609))]
#[case::the_most(u32::MAX, Some(9_223_372_039_002_259_456))]
#[case::zero(0, None)]
#[case::one(1, None)]
#[case::two(2, None)]
#[case::the_top_bit(1 << 31, None)]
fn a_reciprocal_that_is_none_writes_no_register(#[case] divisor: u32, #[case] factor: Option<u64>) {
    let mut machine = Machine::default();
    machine.integers[3] = 1;
    machine.run(word(10, DST, SRC, 0, divisor));
    assert_eq!(machine.integers[3], factor.unwrap_or(1));
    // What wrote a register last says where a branch on it goes.
    let mut program = [0; 18];
    (program[16], program[17]) = (word(10, DST, SRC, 0, divisor), word(26, DST, SRC, 0, 0));
    let decoder = Decoder::new(&Parameters::STOCK);
    let branch = decoder.decode(&program).nth(1);
    let wanted = u16::from(factor.is_some());
    assert!(
        matches!(branch, Some(Instruction::Branch { target, .. }) if target == wanted),
        "{branch:?}"
    );
}

/// Memory is found by a register and a constant within the level that the modifier names.
#[rstest]
#[case::first_level(1, 1, 2046)]
#[case::second_level(1, 0, 32_766)]
#[case::of_the_same_register(1, 0, 262_142)]
fn memory_is_read_within_its_level(
    #[case] number: usize,
    #[case] modifier: u64,
    #[case] at: usize,
) {
    let mut machine = Machine::default();
    let is_same = at > 40_000;
    (machine.integers[3], machine.integers[6]) = (1, 0x7_FFFF_FFF0);
    machine.scratchpad[at] = MINUS;
    let (src, constant) = if is_same { (DST, 0xFFFF_FFF0) } else { (SRC, 0) };
    machine.run(word(number, DST, src, modifier, constant));
    assert_eq!(machine.integers[3], 0);
}

#[rstest]
#[case::first_level(1, 2046)]
#[case::second_level(0, 32_766)]
#[case::anywhere(0xe0, 262_142)]
fn memory_is_written_within_its_level(#[case] modifier: u64, #[case] at: usize) {
    let mut machine = Machine::default();
    (machine.integers[3], machine.integers[6]) = (0x7_FFFF_FFF0, MIN);
    machine.run(word(28, DST, SRC, modifier, 0));
    assert_eq!(machine.scratchpad.iter().position(|word| *word != 0), Some(at));
    assert_eq!(machine.scratchpad[at], MIN);
}

/// Values and results of the reference's own tests, low half first.
#[rstest]
#[case::add_nearest(18, 0, [0x40b8_f684_057a_59e1, 0x402a_26a8_6a60_c8fb], [0xc1ce_30b3_c422_3576, 0x3ffd_2c97_cc4e_f015], [0xc1ce_30a7_48e0_32b9, 0x402d_cc3b_63ea_a6fe])]
#[case::add_down(18, 1, [0x40b8_f684_057a_59e1, 0x402a_26a8_6a60_c8fb], [0xc1ce_30b3_c422_3576, 0x3ffd_2c97_cc4e_f015], [0xc1ce_30a7_48e0_32b9, 0x402d_cc3b_63ea_a6fd])]
#[case::add_up(18, 2, [0x40b8_f684_057a_59e1, 0x402a_26a8_6a60_c8fb], [0xc1ce_30b3_c422_3576, 0x3ffd_2c97_cc4e_f015], [0xc1ce_30a7_48e0_32b8, 0x402d_cc3b_63ea_a6fe])]
#[case::add_to_zero(18, 3, [0x40b8_f684_057a_59e1, 0x402a_26a8_6a60_c8fb], [0xc1ce_30b3_c422_3576, 0x3ffd_2c97_cc4e_f015], [0xc1ce_30a7_48e0_32b8, 0x402d_cc3b_63ea_a6fd])]
#[case::multiply_nearest(23, 0, [0x41c4_5612_12ae_2d50, 0x40eb_a861_aa31_c7c0], [0x40fd_fdab_b617_3d07, 0x41db_c35c_ef24_8783], [0x42d3_0f35_ff7a_6969, 0x42d7_feec_cd89_152f])]
#[case::multiply_down(23, 1, [0x41c4_5612_12ae_2d50, 0x40eb_a861_aa31_c7c0], [0x40fd_fdab_b617_3d07, 0x41db_c35c_ef24_8783], [0x42d3_0f35_ff7a_6969, 0x42d7_feec_cd89_152e])]
#[case::multiply_up(23, 2, [0x41c4_5612_12ae_2d50, 0x40eb_a861_aa31_c7c0], [0x40fd_fdab_b617_3d07, 0x41db_c35c_ef24_8783], [0x42d3_0f35_ff7a_696a, 0x42d7_feec_cd89_152f])]
#[case::root_nearest(25, 0, [0; 2], [0x4052_6a7e_778d_9824, 0x41b6_b21c_11af_fea7], [0x4021_2a61_0b30_1fe8, 0x40d3_0e57_3fa3_ba8d])]
#[case::root_down(25, 1, [0; 2], [0x4052_6a7e_778d_9824, 0x41b6_b21c_11af_fea7], [0x4021_2a61_0b30_1fe8, 0x40d3_0e57_3fa3_ba8c])]
#[case::root_up(25, 2, [0; 2], [0x4052_6a7e_778d_9824, 0x41b6_b21c_11af_fea7], [0x4021_2a61_0b30_1fe9, 0x40d3_0e57_3fa3_ba8d])]
#[case::scale(22, 0, [0; 2], [0x40fd_fdab_b617_3d07, 0x41db_c35c_ef24_8783], [0xc00d_fdab_b617_3d07, 0xc12b_c35c_ef24_8783])]
#[case::swap_halves(17, 0, [0; 2], [4_569_451_684_712_230_561, 953_360_005_391_419_562], [953_360_005_391_419_562, 4_569_451_684_712_230_561])]
#[case::subtract_of_equals_down(20, 1, [0x3ff0 << 48; 2], [0x3ff0 << 48; 2], [MIN, MIN])]
#[case::add_of_zeros(18, 0, [0, MIN], [MIN, MIN], [0, MIN])]
#[case::a_product_too_small_is_zero(23, 0, [0x0010 << 48; 2], [0x0010 << 48, 0x3fe0 << 48], [0, 0])]
#[case::a_denormal_counts_as_zero(18, 0, [1, MAX >> 12], [0, 1], [0, 0])]
#[case::a_sum_too_great_is_infinite(18, 0, [0x7fef_ffff_ffff_ffff; 2], [0x7fef_ffff_ffff_ffff; 2], [0x7ff0 << 48; 2])]
#[case::or_the_greatest(18, 3, [0x7fef_ffff_ffff_ffff; 2], [0x7fef_ffff_ffff_ffff; 2], [0x7fef_ffff_ffff_ffff; 2])]
fn constants_make_a_pair(
    #[case] number: usize,
    #[case] rounding: u64,
    #[case] constant: [u64; 2],
    #[case] before: [u64; 2],
    #[case] want: [u64; 2],
) {
    let mut machine = Machine { rounding: Rounding::of(rounding), ..Machine::default() };
    // Register 3 is the fourth of either kind, and constant 6 the third.
    machine.constants[2] = Pair(constant);
    let at = if matches!(number, 23 | 25) { 7 } else { 3 };
    machine.floats[at] = Pair(before);
    machine.run(word(number, DST, SRC, 0, 0));
    assert_eq!(machine.floats[at].0, want);
}

#[test]
fn two_integers_of_memory_are_added_as_doubles() {
    let mut machine = Machine::default();
    machine.integers[6] = 0xFFFF_FFFF_FFFF_E930;
    let at = (0xFFFF_E930_u32.wrapping_add(0xC0CB_9AD2) & (Parameters::STOCK.scratchpad_l1 - 8))
        as usize
        / 8;
    machine.scratchpad[at] = 0x1234_5678_90ab_cdef;
    machine.run(word(19, DST, SRC, 1, 0xC0CB_9AD2));
    assert_eq!(machine.floats[3].0, [0xc1db_d50c_8440_0000, 0x41b2_3456_7800_0000]);
}

#[rstest]
#[case::nearest(0, [0x4643_8494_6369_b2e7, 0x47a5_5b63_664a_4732])]
#[case::down(1, [0x4643_8494_6369_b2e6, 0x47a5_5b63_664a_4732])]
#[case::up(2, [0x4643_8494_6369_b2e7, 0x47a5_5b63_664a_4733])]
fn a_divisor_has_the_bits_of_the_program(#[case] rounding: u64, #[case] want: [u64; 2]) {
    let mut machine = Machine { rounding: Rounding::of(rounding), ..Machine::default() };
    machine.divisor_bits = Pair([0x3a00_0000_0005_d11a, 0x3900_0000_001b_a31e]);
    machine.floats[7] = Pair([0x411b_4142_96ce_93b6, 0x4193_7f76_fede_16ee]);
    machine.scratchpad[0] = 0x8b24_60d9_d350_a1b6;
    machine.run(word(24, DST, SRC, 1, 0));
    assert_eq!(machine.floats[7].0, want);
}

#[rstest]
#[case::not_taken(0, 0x7F800, false)]
#[case::taken(0xFFFF_FFFF_FFFC_6800, 0x7F800, true)]
fn a_branch_is_taken_where_the_bits_are_zero(
    #[case] before: u64,
    #[case] mask: u32,
    #[case] is_taken: bool,
) {
    let decoder = Decoder::new(&Parameters::STOCK);
    let mut program = [0; 17];
    program[16] = word(26, DST, SRC, 48, 0xC0CB_9AD2);
    let branch = decoder.decode(&program).next();
    assert_eq!(
        branch,
        Some(Instruction::Branch { dst: 3, constant: 0xC0CB_9AD2, mask, target: 0 })
    );
    let after = before.wrapping_add(0xFFFF_FFFF_C0CB_9AD2);
    assert_eq!(low(after) & mask == 0, is_taken);
}

#[rstest]
#[case::by_eighteen(0xC0CB_9AD2, 2 << 18, Rounding::Up)]
#[case::not_at_all(0, MINUS, Rounding::Zero)]
#[case::by_a_turn_less_one(63, 1, Rounding::Up)]
fn a_rounding_mode_is_two_bits_of_a_register(
    #[case] constant: u32,
    #[case] src: u64,
    #[case] want: Rounding,
) {
    let mut machine = Machine::default();
    machine.integers[6] = src;
    machine.run(word(27, DST, SRC, 0, constant));
    assert_eq!(machine.rounding, want);
}
