#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ckscope::fuzz::protobuf(bytes));
