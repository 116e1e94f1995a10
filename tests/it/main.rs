//! One test binary; a module per promise or route family.

mod docs;
mod engine;
mod openapi;
