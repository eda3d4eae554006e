//! A small assembler for eBPF: enough to write the redirect program as source that can be read.
//!
//! Instructions are 64 bits: operation, two registers, an offset, an immediate (RFC 9669). Jumps go
//! to labels, and only forward, so every program ends.

use std::fmt;

/// A register of the virtual machine.
///
/// A call takes its arguments in `R1` to `R5`, forgets those, and answers in `R0`; `R6` to `R9`
/// survive calls; `R10` points behind the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Register {
    R0 = 0,
    R1 = 1,
    R2 = 2,
    R3 = 3,
    R6 = 6,
    R7 = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
}

/// How much a load or store moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Size {
    /// 32 bits.
    Word = 0x00,
    /// 16 bits.
    Half = 0x08,
    /// 8 bits.
    Byte = 0x10,
    /// 64 bits.
    Double = 0x18,
}

/// When a jump is taken; comparisons are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum If {
    /// `a == b`.
    Equal = 0x10,
    /// `a > b`.
    Above = 0x20,
    /// `a & b != 0`.
    Any = 0x40,
    /// `a != b`.
    Differ = 0x50,
}

/// The right side of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// A register.
    Of(Register),
    /// A number, extended to 64 bits with its sign.
    Is(i32),
}

/// A function of the kernel (`enum bpf_func_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Helper {
    /// `bpf_map_lookup_elem(map, key) -> value or null`.
    Lookup = 1,
    /// `bpf_redirect_map(map, key, action if there is none) -> action`.
    Redirect = 51,
}

/// A place in the program to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// One instruction (`struct bpf_insn`).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    operation: u8,
    /// Destination in the low half, source in the high half.
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl fmt::Debug for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, registers, offset, immediate } = self;
        write!(f, "{operation:02x} {registers:02x} {offset:+} {immediate:#x}")
    }
}

// Classes and modes of operations.
const LOAD: u8 = 0x61;
const STORE: u8 = 0x63;
const STORE_ADD: u8 = 0xc3;
const WIDE: u8 = 0x18;
const JUMP: u8 = 0x05;
const ARITHMETIC: u8 = 0x07;
const BY_REGISTER: u8 = 0x08;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const ADD: u8 = 0x00;
const SUBTRACT: u8 = 0x10;
const AND: u8 = 0x50;
const SHIFT_RIGHT: u8 = 0x70;
const MOVE: u8 = 0xb0;
/// The source register that marks a wide immediate as the descriptor of a map.
const MAP_DESCRIPTOR: u8 = 1;

/// Collects instructions.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<Instruction>,
    /// Where each label is, once it was placed.
    places: Vec<Option<usize>>,
    /// Jumps whose offset is still to be written.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A label, to be placed later.
    pub(super) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// Places `label` here.
    pub(super) fn place(&mut self, label: Label) {
        self.places[label.0] = Some(self.code.len());
    }

    /// `to = *(size *)(base + offset)`.
    pub(super) fn load(&mut self, size: Size, to: Register, base: Register, offset: i16) {
        self.push(LOAD | size as u8, to, base as u8, offset, 0);
    }

    /// `*(size *)(base + offset) = from`.
    pub(super) fn store(&mut self, size: Size, base: Register, offset: i16, from: Register) {
        self.push(STORE | size as u8, base, from as u8, offset, 0);
    }

    /// Adds `from` to the 64 bits at `base + offset`, atomically.
    pub(super) fn store_add(&mut self, base: Register, offset: i16, from: Register) {
        self.push(STORE_ADD | Size::Double as u8, base, from as u8, offset, 0);
    }

    /// `to = from`.
    pub(super) fn set(&mut self, to: Register, from: Operand) {
        self.arithmetic(MOVE, to, from);
    }

    /// `to += by`.
    pub(super) fn add(&mut self, to: Register, by: Operand) {
        self.arithmetic(ADD, to, by);
    }

    /// `from -= what`.
    pub(super) fn subtract(&mut self, from: Register, what: Operand) {
        self.arithmetic(SUBTRACT, from, what);
    }

    /// `to &= mask`.
    pub(super) fn and(&mut self, to: Register, mask: Operand) {
        self.arithmetic(AND, to, mask);
    }

    /// `to >>= bits`, filling with zeros.
    pub(super) fn shift_right(&mut self, to: Register, bits: i32) {
        self.arithmetic(SHIFT_RIGHT, to, Operand::Is(bits));
    }

    /// `to = address of the map with this descriptor`; two instructions wide.
    pub(super) fn map(&mut self, to: Register, descriptor: i32) {
        self.push(WIDE, to, MAP_DESCRIPTOR, 0, descriptor);
        self.code.push(Instruction { operation: 0, registers: 0, offset: 0, immediate: 0 });
    }

    /// `R0 = helper(R1, R2, …)`.
    pub(super) fn call(&mut self, helper: Helper) {
        self.push(CALL, Register::R0, 0, 0, helper as i32);
    }

    /// Goes to `label`.
    pub(super) fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(JUMP, Register::R0, 0, 0, 0);
    }

    /// Goes to `label` if the comparison holds.
    pub(super) fn jump_if(&mut self, left: Register, how: If, right: Operand, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.with_operand(JUMP | how as u8, left, right);
    }

    /// Ends the program with `R0` as its answer.
    pub(super) fn exit(&mut self) {
        self.push(EXIT, Register::R0, 0, 0, 0);
    }

    /// The program.
    ///
    /// # Panics
    /// When a label was not placed, or a jump does not go forward: a bug of the program's source.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in &self.jumps {
            let target = self.places[label.0];
            let distance = target.and_then(|target| target.checked_sub(at + 1));
            let offset = distance.and_then(|distance| i16::try_from(distance).ok());
            let Some(offset) = offset else { panic!("the jump at {at} goes nowhere ahead") };
            self.code[*at].offset = offset;
        }
        self.code
    }

    fn arithmetic(&mut self, operation: u8, to: Register, by: Operand) {
        self.with_operand(ARITHMETIC | operation, to, by);
    }

    fn with_operand(&mut self, operation: u8, left: Register, right: Operand) {
        match right {
            Operand::Of(register) => {
                self.push(operation | BY_REGISTER, left, register as u8, 0, 0);
            }
            Operand::Is(number) => self.push(operation, left, 0, 0, number),
        }
    }

    fn push(&mut self, operation: u8, to: Register, from: u8, offset: i16, immediate: i32) {
        let registers = to as u8 | from << 4;
        self.code.push(Instruction { operation, registers, offset, immediate });
    }
}

#[cfg(test)]
mod tests {
    use super::Operand::{Is, Of};
    use super::Register::{R0, R1, R2, R10};
    use super::*;

    type Write = fn(&mut Assembler);

    fn bytes(assemble: impl FnOnce(&mut Assembler)) -> Vec<u8> {
        let mut assembler = Assembler::new();
        assemble(&mut assembler);
        let code = assembler.finish();
        let image = |i: &Instruction| {
            let ([a, b], [c, d, e, f]) = (i.offset.to_le_bytes(), i.immediate.to_le_bytes());
            [i.operation, i.registers, a, b, c, d, e, f]
        };
        code.iter().flat_map(image).collect()
    }

    #[test]
    fn instructions_are_encoded_as_the_kernel_reads_them() {
        let known: [(&[u8], Write); 9] = [
            (&[0xb7, 0, 0, 0, 2, 0, 0, 0], |a| a.set(R0, Is(2))),
            (&[0xbf, 0x21, 0, 0, 0, 0, 0, 0], |a| a.set(R1, Of(R2))),
            (&[0x07, 0x02, 0, 0, 0xfc, 0xff, 0xff, 0xff], |a| a.add(R2, Is(-4))),
            (&[0x61, 0x12, 4, 0, 0, 0, 0, 0], |a| a.load(Size::Word, R2, R1, 4)),
            (&[0x69, 0x12, 12, 0, 0, 0, 0, 0], |a| a.load(Size::Half, R2, R1, 12)),
            (&[0x63, 0x1a, 0xfc, 0xff, 0, 0, 0, 0], |a| a.store(Size::Word, R10, -4, R1)),
            (&[0xdb, 0x10, 0, 0, 0, 0, 0, 0], |a| a.store_add(R0, 0, R1)),
            (&[0x85, 0, 0, 0, 51, 0, 0, 0], |a| a.call(Helper::Redirect)),
            (&[0x95, 0, 0, 0, 0, 0, 0, 0], Assembler::exit),
        ];
        for (expected, assemble) in known {
            assert_eq!(bytes(assemble), expected);
        }
    }

    #[test]
    fn a_map_takes_two_instructions_and_is_marked_as_one() {
        let code = bytes(|a| a.map(R1, 7));
        assert_eq!(code, [0x18, 0x11, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn jumps_count_the_instructions_between() {
        let code = bytes(|a| {
            let end = a.label();
            a.jump_if(R1, If::Above, Of(R2), end);
            a.map(R1, 7);
            a.jump(end);
            a.place(end);
            a.exit();
        });
        assert_eq!(code[..4], [0x2d, 0x21, 3, 0]);
        assert_eq!(code[24..28], [0x05, 0, 0, 0]);
    }

    #[test]
    #[should_panic(expected = "goes nowhere ahead")]
    fn a_loop_is_a_bug() {
        bytes(|a| {
            let begin = a.label();
            a.place(begin);
            a.jump(begin);
        });
    }
}
