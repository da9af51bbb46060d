//! Fuzzes `orca_tests::foreign::words`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| orca_tests::foreign::words(bytes));
