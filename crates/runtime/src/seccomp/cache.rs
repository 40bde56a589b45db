//! Compiled filters on disk.
//!
//! ```text
//! magic (8) │ flags (4) │ number of instructions (4) │ SHA-256 (32) │ instructions (8 each)      all little-endian
//! ```
//!
//! The digest covers the file's own key, the flags and the instructions: a file that was cut, changed, or written for another
//! profile is compiled again. The directory belongs to root alone; the digest guards against accidents, not against root.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use sha2::{Digest, Sha256};
use shim::SeccompProfile;
use sys::seccomp::Instruction;

use super::{Machine, Program, SeccompError, Target, compile};

const MAGIC: &[u8; 8] = b"cortenS1";
const HEADER: usize = 8 + 4 + 4 + 32;
const MAX_FILE: usize = HEADER + 4096 * 8;

type Key = [u8; 32];

/// The compiled profile, from the directory where it is there already; else it is compiled and stored. `None` where there is
/// nothing to load.
///
/// # Errors
/// Those of compiling. A directory that cannot be read or written only costs the time to compile.
pub fn cached(
    directory: &Path,
    profile: &SeccompProfile,
    target: &Target,
) -> Result<Option<Program>, SeccompError> {
    if *profile == SeccompProfile::Unconfined {
        return Ok(None);
    }
    let key = key(profile, target);
    let path = directory.join(hexadecimal(&key));
    if let Some(program) = load(&path, &key) {
        return Ok(Some(program));
    }
    let program = super::compile(profile, target)?;
    if let Some(program) = &program {
        // Without the file the next start compiles again, which takes a millisecond.
        let _ = store(directory, &path, &encode(program, &key));
    }
    Ok(program)
}

/// Everything that decides about the program.
fn key(profile: &SeccompProfile, target: &Target) -> Key {
    let mut hash = Sha256::new();
    hash.update(compile::VERSION.to_le_bytes());
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(match target.machine {
        Machine::X86_64 => [0],
        Machine::Aarch64 => [1],
    });
    hash.update(target.capabilities.to_le_bytes());
    hash.update(target.kernel.major.to_le_bytes());
    hash.update(target.kernel.minor.to_le_bytes());
    match profile {
        SeccompProfile::Unconfined => hash.update([0]),
        SeccompProfile::Default => hash.update([1]),
        SeccompProfile::Custom(json) => {
            hash.update([2]);
            hash.update(json);
        }
    }
    hash.finalize().into()
}

fn hexadecimal(key: &Key) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn load(path: &Path, key: &Key) -> Option<Program> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .ok()?;
    let mut bytes = Vec::with_capacity(16 * 1024);
    (&mut file).take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).ok()?;
    decode(&bytes, key)
}

fn encode(program: &Program, key: &Key) -> Vec<u8> {
    let mut body = Vec::with_capacity(program.instructions().len() * 8);
    for instruction in program.instructions() {
        body.extend(instruction.code.to_le_bytes());
        body.extend([instruction.jump_true, instruction.jump_false]);
        body.extend(instruction.constant.to_le_bytes());
    }
    let count = u32::try_from(program.instructions().len()).expect("4096 at most");
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(MAGIC);
    bytes.extend(program.flags().to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(checksum(key, program.flags(), &body));
    bytes.extend(body);
    bytes
}

fn decode(bytes: &[u8], key: &Key) -> Option<Program> {
    let (header, body) = bytes.split_at_checked(HEADER)?;
    let flags = u32::from_le_bytes(header[8..12].try_into().ok()?);
    let count = u32::from_le_bytes(header[12..16].try_into().ok()?);
    let whole =
        header[..8] == MAGIC[..] && count > 0 && body.len() == usize::try_from(count).ok()?.checked_mul(8)?;
    if !whole || header[16..] != checksum(key, flags, body) {
        return None;
    }
    let instructions = body
        .chunks_exact(8)
        .map(|bytes| Instruction {
            code: u16::from_le_bytes([bytes[0], bytes[1]]),
            jump_true: bytes[2],
            jump_false: bytes[3],
            constant: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        })
        .collect();
    Some(Program::from_parts(instructions, flags))
}

fn checksum(key: &Key, flags: u32, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(key);
    hash.update(flags.to_le_bytes());
    hash.update(body);
    hash.finalize().into()
}

/// Writes beside the place and renames: whoever reads sees the whole file or none.
fn store(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let temporary = temporary(path);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn temporary(path: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    path.with_extension(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::KernelVersion;
    use std::os::unix::fs::PermissionsExt;

    const PROFILE: SeccompProfile = SeccompProfile::Default;

    fn target() -> Target {
        Target::new(&oci::capability::DEFAULT, Machine::X86_64, KernelVersion { major: 6, minor: 1 })
    }

    /// The one file in the directory.
    fn file(directory: &Path) -> PathBuf {
        let mut files: Vec<_> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    #[test]
    fn second_call_reads_what_the_first_stored() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("seccomp");
        let compiled = cached(&directory, &PROFILE, &target()).unwrap().unwrap();
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let path = file(&directory);
        assert_eq!(load(&path, &key(&PROFILE, &target())), Some(compiled.clone()));
        assert_eq!(cached(&directory, &PROFILE, &target()).unwrap(), Some(compiled));
    }

    #[test]
    fn damaged_file_is_compiled_again() {
        let root = tempfile::tempdir().unwrap();
        let compiled = cached(root.path(), &PROFILE, &target()).unwrap();
        let path = file(root.path());
        let good = std::fs::read(&path).unwrap();
        let mut damaged = vec![Vec::new(), good[..HEADER].to_vec(), good[..good.len() - 8].to_vec()];
        for at in [0, 9, 13, 20, HEADER, good.len() - 1] {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            damaged.push(bytes);
        }
        damaged.push([good.clone(), vec![0; 8]].concat());
        for bytes in damaged {
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(cached(root.path(), &PROFILE, &target()).unwrap(), compiled);
            assert_eq!(std::fs::read(&path).unwrap(), good);
        }
    }

    #[test]
    fn file_of_another_profile_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        cached(root.path(), &PROFILE, &target()).unwrap();
        let bytes = std::fs::read(file(root.path())).unwrap();
        let other = Target::new(&oci::capability::ALL, Machine::X86_64, target().kernel);
        assert_ne!(key(&PROFILE, &target()), key(&PROFILE, &other));
        assert_eq!(decode(&bytes, &key(&PROFILE, &other)), None);
    }

    #[test]
    fn directory_that_cannot_be_made_is_no_obstacle() {
        let root = tempfile::NamedTempFile::new().unwrap();
        assert!(cached(&root.path().join("x"), &PROFILE, &target()).unwrap().is_some());
        assert_eq!(cached(root.path(), &SeccompProfile::Unconfined, &target()).unwrap(), None);
    }
}
