#![cfg_attr(fuzzing, no_main)]

retry_ext_fuzz::target!(retry_after);
