//! Fuzzes `orca_tests::foreign::task_toml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| orca_tests::foreign::task_toml(bytes));
