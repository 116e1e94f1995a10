//! Fuzzes what `copilotkit_fuzz` says holds.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| copilotkit_fuzz::proto::holds(bytes));
