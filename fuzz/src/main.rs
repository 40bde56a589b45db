//! Parsers of foreign input under libFuzzer. `CORTEN_FUZZ` names the target.

#![no_main]

mod unpack;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 9] = [
    ("manifest", image::fuzzing::manifest),
    ("index", image::fuzzing::index),
    ("tar", image::fuzzing::tar),
    ("decompress", image::fuzzing::decompress),
    ("unpack", unpack::unpack),
    ("context_archive", unpack::add),
    ("dockerfile", dockerfile::fuzzing::dockerfile),
    ("expand", dockerfile::fuzzing::expand),
    ("ignore", dockerfile::fuzzing::ignore),
];

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("CORTEN_FUZZ").expect("CORTEN_FUZZ names a target");
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("there is no target {name:?}")).1
});

fuzz_target!(|data: &[u8]| TARGET(data));
