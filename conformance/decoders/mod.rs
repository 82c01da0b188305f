//! Every decoder with inputs that are kept (`corpus/`, a file for each decoder, an input a line) and what chance makes of
//! them: whatever comes, it is taken or refused, soon, and what was taken means the same when it is written and read again.
//! An input over which a decoder falls is put into the corpus and stays there.
//!
//! `CORACLE_FUZZ=100000` makes more of them than the usual run does; `CORACLE_SEED` repeats a run.

mod decode;
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle::base::SystemClock;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::server::setting;
use decode::{DECODERS, Tables};

/// How many inputs are made for each decoder.
const INPUTS: u64 = 300;
/// How long any input may take, in an unoptimized program on a busy machine.
const TIME_MAX: Duration = Duration::from_secs(20);
/// As much as the threads have that answer requests which nest deeply.
const STACK_BYTES: usize = 512 << 20;

fn file(decoder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/decoders/corpus").join(format!("{decoder}.txt"))
}

/// A line of the corpus: bytes that are no plain ASCII are written as in a Rust literal.
fn line(input: &[u8]) -> String {
    input.escape_ascii().to_string()
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, if byte == b'\\' { rest.next() } else { None }) {
            (_, None) => byte,
            (_, Some(b'n')) => b'\n',
            (_, Some(b'r')) => b'\r',
            (_, Some(b't')) => b'\t',
            (_, Some(b'x')) => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            (_, Some(other)) => other,
        });
    }
    bytes
}

fn corpus(decoder: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(file(decoder)).unwrap_or_else(|error| panic!("{decoder}: {error}"));
    text.lines().map(unescape).collect()
}

/// Why a decoder falls over an input, if it does.
fn falls(tables: &Tables, decode: decode::Decoder, input: &[u8]) -> Option<String> {
    let clock = SystemClock::shared();
    let began = clock.monotonic();
    let ended = catch_unwind(AssertUnwindSafe(|| decode(tables, input)));
    let took = clock.monotonic() - began;
    match ended {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Some(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned())
        }
        Ok(()) if took > TIME_MAX => Some(format!("it took {took:?}")),
        Ok(()) => None,
    }
}

fn run() {
    let count = setting("CORACLE_FUZZ").unwrap_or(INPUTS);
    let seed = setting("CORACLE_SEED").unwrap_or_else(|| rand::rng().random());
    crate::tell(&format!("{count} inputs for each of {} decoders, CORACLE_SEED={seed}", DECODERS.len()));
    let tables = Tables::load();
    let mut faults = Vec::new();
    for (name, decode) in DECODERS {
        let kept = corpus(name);
        let mut random = StdRng::seed_from_u64(seed);
        let made = std::iter::from_fn(|| Some(mutate::mutated(&kept, &mut random))).take(count as usize);
        for (number, input) in kept.iter().cloned().chain(made).enumerate() {
            let Some(why) = falls(&tables, decode, &input) else { continue };
            faults.push(format!("{name}: {why}: {}", line(&input)));
            if number >= kept.len() {
                let text = std::fs::read_to_string(file(name)).unwrap();
                std::fs::write(file(name), format!("{text}{}\n", line(&input))).unwrap();
            }
            break;
        }
    }
    assert!(faults.is_empty(), "CORACLE_SEED={seed}\n{}", faults.join("\n"));
}

#[test]
fn every_decoder_takes_or_refuses_whatever_comes() {
    let thread = std::thread::Builder::new().name("decoders".to_owned()).stack_size(STACK_BYTES).spawn(run).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_line_of_the_corpus_gives_any_input_back() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(unescape(&line(&all)), all);
}
