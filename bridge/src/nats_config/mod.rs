//! The configuration format of nats-server: maps, arrays, sizes, comments, variables and included files.
//!
//! This module only reads the format. It knows no setting; [`crate::cli`] knows them, and reports each
//! problem at the line and column that the values carry.

mod parser;

mod cursor;
mod scalars;
mod value;

pub(crate) use parser::parse_file;
#[cfg(test)]
pub(crate) use parser::parse_text;
pub(crate) use scalars::duration;
pub(crate) use value::{ConfigError, Map, Node, Value};
