//! The smallest program that says something: a static ELF executable, assembled here.
//!
//! One segment, readable and executable, holds the headers, the code and the text. The code calls write(1, text, length)
//! and exit_group(0), and exit_group(1) where write fails.

/// For which processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    X86_64,
    Aarch64,
}

impl Machine {
    /// This one.
    pub(super) const fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 }
    }
}

const BASE: u64 = 0x40_0000;
const ELF_HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const CODE: usize = ELF_HEADER + PROGRAM_HEADER;

/// An executable that writes `text` to its standard output.
pub(super) fn program(machine: Machine, text: &[u8]) -> Vec<u8> {
    let code = match machine {
        Machine::X86_64 => x86_64(text.len()),
        Machine::Aarch64 => aarch64(text.len()),
    };
    let size = (CODE + code.len() + text.len()) as u64;
    let number = match machine {
        Machine::X86_64 => 62,
        Machine::Aarch64 => 183,
    };
    let mut file = Vec::with_capacity(size as usize);
    elf_header(&mut file, number);
    program_header(&mut file, size);
    file.extend_from_slice(&code);
    file.extend_from_slice(text);
    file
}

/// elf(5), `Elf64_Ehdr`.
fn elf_header(file: &mut Vec<u8>, machine: u16) {
    // Magic; 64 bits, little endian, version 1, System V; padding.
    file.extend_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend_from_slice(&2u16.to_le_bytes()); // executable
    file.extend_from_slice(&machine.to_le_bytes());
    file.extend_from_slice(&1u32.to_le_bytes()); // version
    file.extend_from_slice(&(BASE + CODE as u64).to_le_bytes()); // entry point
    file.extend_from_slice(&(ELF_HEADER as u64).to_le_bytes()); // program headers
    file.extend_from_slice(&0u64.to_le_bytes()); // no section headers
    file.extend_from_slice(&0u32.to_le_bytes()); // flags
    for half in [ELF_HEADER as u16, PROGRAM_HEADER as u16, 1, 64, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
}

/// elf(5), `Elf64_Phdr`.
fn program_header(file: &mut Vec<u8>, size: u64) {
    file.extend_from_slice(&1u32.to_le_bytes()); // loaded
    file.extend_from_slice(&5u32.to_le_bytes()); // read, execute
    for word in [0, BASE, BASE, size, size, 0x1_0000] {
        file.extend_from_slice(&word.to_le_bytes());
    }
}

fn x86_64(length: usize) -> Vec<u8> {
    const LENGTH: usize = 34;
    let text = (BASE as usize + CODE + LENGTH) as u32;
    let mut code = vec![0xb8, 1, 0, 0, 0]; // mov eax, 1 (write)
    code.extend_from_slice(&[0xbf, 1, 0, 0, 0]); // mov edi, 1
    code.push(0xbe); // mov esi, text
    code.extend_from_slice(&text.to_le_bytes());
    code.push(0xba); // mov edx, length
    code.extend_from_slice(&(length as u32).to_le_bytes());
    code.extend_from_slice(&[0x0f, 0x05]); // syscall
    code.extend_from_slice(&[0x89, 0xc7]); // mov edi, eax
    code.extend_from_slice(&[0xc1, 0xef, 31]); // shr edi, 31: the sign
    code.extend_from_slice(&[0xb8, 231, 0, 0, 0]); // mov eax, 231 (exit_group)
    code.extend_from_slice(&[0x0f, 0x05]); // syscall
    debug_assert_eq!(code.len(), LENGTH);
    code
}

fn aarch64(length: usize) -> Vec<u8> {
    let movz = |register: u32, value: u32| 0xd280_0000 | (value & 0xffff) << 5 | register;
    // The text follows the eight instructions; `adr` counts from itself, the third.
    let distance = (8 - 2) * 4u32;
    let instructions = [
        movz(0, 1),                                                // x0 = 1
        movz(2, length as u32),                                    // x2 = length
        0x1000_0001 | (distance & 3) << 29 | (distance >> 2) << 5, // adr x1, text
        movz(8, 64),                                               // x8 = 64 (write)
        0xd400_0001,                                               // svc 0
        0xd37f_fc00,                                               // lsr x0, x0, 63: the sign
        movz(8, 94),                                               // x8 = 94 (exit_group)
        0xd400_0001,                                               // svc 0
    ];
    instructions.iter().flat_map(|instruction| instruction.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn program_of_this_machine_prints_its_text_and_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        std::fs::write(&path, program(Machine::host(), b"some text\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let output = Command::new(&path).output().unwrap();
        assert_eq!((output.stdout.as_slice(), output.status.code()), (&b"some text\n"[..], Some(0)));
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        assert_eq!(Command::new(&path).stdout(full).status().unwrap().code(), Some(1));
    }

    #[test]
    fn program_of_aarch64_is_the_known_code() {
        let file = program(Machine::Aarch64, b"abc");
        assert_eq!(file[18..20], [183, 0]);
        assert_eq!(file.len(), CODE + 32 + 3);
        let word = |at: usize| u32::from_le_bytes(file[CODE + 4 * at..][..4].try_into().unwrap());
        assert_eq!(word(0), 0xd280_0020); // mov x0, #1
        assert_eq!(word(1), 0xd280_0062); // mov x2, #3
        assert_eq!(word(2), 0x1000_00c1); // adr x1, #24
        assert_eq!(word(3), 0xd280_0808); // mov x8, #64
        assert_eq!(word(6), 0xd280_0bc8); // mov x8, #94
    }
}
