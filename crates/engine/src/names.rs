//! Names drawn for containers that were not given one: `adjective_surname`.

use sys::random;

/// Draws a name for which `is_free` holds. After many misses a digit is added, as Docker does, so that this ends.
pub(crate) fn draw(mut is_free: impl FnMut(&str) -> bool) -> String {
    for _ in 0..6 {
        let name = pair();
        if is_free(&name) {
            return name;
        }
    }
    loop {
        let name = format!("{}{}", pair(), random::below(10_000));
        if is_free(&name) {
            return name;
        }
    }
}

fn pair() -> String {
    let adjective = ADJECTIVES[random::below(ADJECTIVES.len())];
    let surname = SURNAMES[random::below(SURNAMES.len())];
    format!("{adjective}_{surname}")
}

/// Whether `name` may name a container: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, with one leading slash allowed.
pub(crate) fn is_valid(name: &str) -> bool {
    let name = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    first && rest && name.len() > 1
}

const ADJECTIVES: &[&str] = &[
    "able", "agile", "amber", "apt", "artful", "awake", "balanced", "blithe", "bold", "bright", "brisk",
    "calm", "candid", "careful", "cheerful", "clear", "clever", "crisp", "curious", "daring", "deft",
    "devoted", "eager", "earnest", "easy", "elegant", "fair", "faithful", "fearless", "festive", "fine",
    "firm", "fluent", "fond", "frank", "fresh", "gallant", "generous", "gentle", "glad", "golden",
    "graceful", "grand", "happy", "hardy", "hearty", "honest", "hopeful", "humble", "jolly", "jovial",
    "keen", "kind", "lively", "loyal", "lucid", "merry", "mindful", "modest", "neat", "nimble", "noble",
    "open", "patient", "placid", "plucky", "polite", "proud", "quick", "quiet", "radiant", "ready", "robust",
    "serene", "sharp", "silent", "sincere", "smart", "sober", "solid", "spry", "steady", "stoic", "sturdy",
    "sunny", "swift", "tender", "thrifty", "tidy", "tranquil", "trusty", "upbeat", "valiant", "vivid",
    "warm", "wise", "witty", "zealous",
];

const SURNAMES: &[&str] = &[
    "abel",
    "agnesi",
    "ampere",
    "archimedes",
    "avogadro",
    "babbage",
    "banach",
    "bardeen",
    "bell",
    "bernoulli",
    "bessemer",
    "bohr",
    "boltzmann",
    "boole",
    "bose",
    "brahe",
    "brunel",
    "cantor",
    "carnot",
    "carson",
    "cauchy",
    "cavendish",
    "cayley",
    "chandrasekhar",
    "chebyshev",
    "clausius",
    "copernicus",
    "coulomb",
    "cray",
    "curie",
    "dalton",
    "darwin",
    "dedekind",
    "diesel",
    "dijkstra",
    "dirac",
    "edison",
    "einstein",
    "elion",
    "eratosthenes",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fibonacci",
    "fourier",
    "franklin",
    "fresnel",
    "galilei",
    "galois",
    "gauss",
    "germain",
    "gibbs",
    "goedel",
    "hamilton",
    "heisenberg",
    "hertz",
    "hilbert",
    "hooke",
    "hopper",
    "hubble",
    "huygens",
    "hypatia",
    "jacobi",
    "joule",
    "kepler",
    "khayyam",
    "knuth",
    "kovalevskaya",
    "lagrange",
    "lamarr",
    "laplace",
    "lavoisier",
    "leavitt",
    "leibniz",
    "liskov",
    "lovelace",
    "mach",
    "maxwell",
    "meitner",
    "mendel",
    "mendeleev",
    "mirzakhani",
    "napier",
    "newton",
    "nightingale",
    "noether",
    "ohm",
    "oersted",
    "pascal",
    "pasteur",
    "pauli",
    "payne",
    "planck",
    "poincare",
    "ptolemy",
    "ramanujan",
    "ride",
    "riemann",
    "ritchie",
    "rubin",
    "rutherford",
    "sagan",
    "schroedinger",
    "shannon",
    "somerville",
    "tesla",
    "thales",
    "thompson",
    "turing",
    "volta",
    "watt",
    "weierstrass",
    "wiles",
    "wu",
    "yonath",
    "zuse",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_name_is_valid_and_free() {
        let mut refused = 0;
        let name = draw(|_| {
            refused += 1;
            refused > 8
        });
        assert!(is_valid(&name), "{name}");
        assert!(name.ends_with(|last: char| last.is_ascii_digit()), "{name}");
    }

    #[test]
    fn all_words_are_distinct_and_make_valid_names() {
        for words in [ADJECTIVES, SURNAMES] {
            let distinct: std::collections::BTreeSet<_> = words.iter().collect();
            assert_eq!(distinct.len(), words.len());
            assert!(words.iter().all(|word| is_valid(word)));
        }
    }

    #[test]
    fn names_follow_dockers_rule() {
        for good in ["ab", "/ab", "a_b.c-d", "0a", "web1"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a", "/", "-ab", "_ab", ".ab", "a/b", "a b", "é1", "a\0b", "//ab"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
