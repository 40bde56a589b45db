//! A device rule set as an eBPF program for version 2 groups (`BPF_PROG_TYPE_CGROUP_DEVICE`).

use sys::bpf::Instruction;

use super::rules::{Access, Exception, Kind, RuleSet};

// Registers. The context comes in R1; the verdict goes out in R0.
const R0: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

// Operations, from the instruction set's standard (RFC 9669).
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbc;
const MOVE_IMMEDIATE: u8 = 0xb4;
const AND_IMMEDIATE: u8 = 0x54;
const SHIFT_RIGHT_IMMEDIATE: u8 = 0x74;
const JUMP_IF_NOT_EQUAL: u8 = 0x56;
const JUMP_IF_EQUAL: u8 = 0x16;
const EXIT: u8 = 0x95;

/// Compiles to a sequence of tests, one block for each exception.
pub(super) fn compile(rules: &RuleSet) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx: access in the upper and kind in the lower half of the first word, then the numbers.
    let mut code = vec![
        load(KIND, 0),
        Instruction { opcode: MOVE, registers: ACCESS | KIND << 4, offset: 0, immediate: 0 },
        immediate(AND_IMMEDIATE, KIND, 0xffff),
        immediate(SHIFT_RIGHT_IMMEDIATE, ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for exception in &rules.exceptions {
        code.extend(block(exception, rules.default_allow));
    }
    code.extend(verdict(rules.default_allow));
    code
}

/// Says the opposite of the default for the exception's devices; else falls through to its end.
fn block(exception: &Exception, default_allow: bool) -> Vec<Instruction> {
    let kind = match exception.devices.kind {
        Kind::Block => 1,
        Kind::Character => 2,
    };
    let mut code = vec![immediate(JUMP_IF_NOT_EQUAL, KIND, kind)];
    let numbers = [(MAJOR, exception.devices.major), (MINOR, exception.devices.minor)];
    for (register, number) in numbers {
        code.extend(number.map(|number| immediate(JUMP_IF_NOT_EQUAL, register, number)));
    }
    if !exception.access.is_all() {
        // Allowed is a request whose every access is allowed; denied is one with any access that is denied.
        let (mask, leave) = if default_allow {
            (exception.access, JUMP_IF_EQUAL)
        } else {
            (Access::all().difference(exception.access), JUMP_IF_NOT_EQUAL)
        };
        code.push(Instruction { opcode: MOVE, registers: SCRATCH | ACCESS << 4, offset: 0, immediate: 0 });
        code.push(immediate(AND_IMMEDIATE, SCRATCH, mask.bits()));
        code.push(immediate(leave, SCRATCH, 0));
    }
    code.extend(verdict(!default_allow));
    let end = code.len();
    for (index, instruction) in code.iter_mut().enumerate() {
        if matches!(instruction.opcode, JUMP_IF_EQUAL | JUMP_IF_NOT_EQUAL) {
            instruction.offset = i16::try_from(end - index - 1).expect("a block has few instructions");
        }
    }
    code
}

fn verdict(allow: bool) -> [Instruction; 2] {
    [
        immediate(MOVE_IMMEDIATE, R0, u32::from(allow)),
        Instruction { opcode: EXIT, registers: 0, offset: 0, immediate: 0 },
    ]
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction { opcode: LOAD_WORD, registers: register | CONTEXT << 4, offset, immediate: 0 }
}

fn immediate(opcode: u8, register: u8, value: u32) -> Instruction {
    Instruction { opcode, registers: register, offset: 0, immediate: value.cast_signed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::devices::rules::Devices;
    use proptest::prelude::*;

    /// Runs the few operations that the compiler uses.
    fn run(code: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u32; 7];
        let mut at = 0;
        loop {
            let Instruction { opcode, registers: operands, offset, immediate } = code[at];
            let (to, from) = (usize::from(operands & 15), usize::from(operands >> 4));
            let value = immediate.cast_unsigned();
            let jump = match opcode {
                LOAD_WORD => {
                    registers[to] = context[usize::try_from(offset).unwrap() / 4];
                    false
                }
                MOVE => {
                    registers[to] = registers[from];
                    false
                }
                MOVE_IMMEDIATE => {
                    registers[to] = value;
                    false
                }
                AND_IMMEDIATE => {
                    registers[to] &= value;
                    false
                }
                SHIFT_RIGHT_IMMEDIATE => {
                    registers[to] >>= value;
                    false
                }
                JUMP_IF_NOT_EQUAL => registers[to] != value,
                JUMP_IF_EQUAL => registers[to] == value,
                EXIT => return registers[0] != 0,
                other => panic!("operation {other:#x}"),
            };
            at += 1 + if jump { usize::try_from(offset).unwrap() } else { 0 };
        }
    }

    fn expected(rules: &RuleSet, kind: Kind, access: Access, major: u32, minor: u32) -> bool {
        let meets = |exception: &&Exception| {
            exception.devices.kind == kind
                && exception.devices.major.is_none_or(|number| number == major)
                && exception.devices.minor.is_none_or(|number| number == minor)
        };
        let mut met = rules.exceptions.iter().filter(meets);
        if rules.default_allow {
            !met.any(|exception| exception.access.intersects(access))
        } else {
            met.any(|exception| exception.access.contains(access))
        }
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![Just(Kind::Block), Just(Kind::Character)]
    }

    fn access() -> impl Strategy<Value = Access> {
        (1u32..8).prop_map(Access::from_bits_truncate)
    }

    fn exception() -> impl Strategy<Value = Exception> {
        let number = || prop::option::of(0u32..4);
        (kind(), number(), number(), access()).prop_map(|(kind, major, minor, access)| Exception {
            devices: Devices { kind, major, minor },
            access,
        })
    }

    proptest! {
        #[test]
        fn program_decides_as_the_rules_do(
            default_allow: bool,
            exceptions in prop::collection::vec(exception(), 0..12),
            kind in kind(),
            access in access(),
            major in 0u32..4,
            minor in 0u32..4,
        ) {
            let rules = RuleSet { default_allow, exceptions };
            let number = if kind == Kind::Block { 1 } else { 2 };
            let found = run(&compile(&rules), number, access.bits(), major, minor);
            prop_assert_eq!(found, expected(&rules, kind, access, major, minor));
        }
    }
}
