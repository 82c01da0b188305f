//! What chance makes of inputs that are kept.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// No input is longer.
const BYTES_MAX: usize = 16 << 10;
/// Pieces that mean something to one decoder or another.
const PIECES: [&str; 34] = [
    "",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\\",
    "\n",
    "  ",
    "null",
    "-1",
    "0",
    "1e999",
    "0x7f",
    "9223372036854775808",
    "18446744073709551616",
    "NaN",
    "\u{0}",
    "\u{feff}",
    "\u{d7ff}\u{1f600}",
    "&a",
    "*a",
    "<<: *a",
    "!!binary ",
    "? ",
    "|-\n",
    "~1",
    "$patch",
    "Ki",
    "notin (",
    "(((",
    "true",
];

/// One of the inputs, changed a few times.
pub(super) fn mutated(kept: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut input = kept.choose(random).unwrap().clone();
    for _ in 0..random.random_range(1..5) {
        mutate(&mut input, kept, random);
    }
    input.truncate(BYTES_MAX);
    input
}

fn mutate(input: &mut Vec<u8>, kept: &[Vec<u8>], random: &mut StdRng) {
    let at = random.random_range(0..=input.len());
    let end = (at + random.random_range(0..9)).min(input.len());
    match random.random_range(0..8) {
        0 => input.truncate(at),
        1 if at < input.len() => input[at] = random.random(),
        2 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        3 => drop(input.drain(at..end)),
        4 => {
            // A piece of another input.
            let other = kept.choose(random).unwrap();
            let from = random.random_range(0..=other.len());
            let to = random.random_range(from..=other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
        5 => {
            // Said again and again: what nests, nests deeply.
            let piece = input[at..end].repeat(random.random_range(2..200));
            input.splice(at..at, piece);
        }
        _ => {
            let piece = PIECES.choose(random).unwrap();
            input.splice(at..end, piece.bytes());
        }
    }
}
