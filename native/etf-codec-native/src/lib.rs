//! The native codec of the Python package `etf-codec`.
//!
//! It reads and writes the terms that messages are made of, with the classes of that package. Whatever else
//! may come, an error included, is the Python codec's: see [`stop::Stop`].

use pyo3::prelude::*;

mod beginnings;
mod bounds;
mod containers;
mod cursor;
mod decode;
mod encode;
mod known;
mod leaves;
mod output;
mod packet_reader;
mod packet_writer;
mod reader;
mod records;
mod scalars;
mod shared;
mod stop;
mod tags;
mod writer;

/// `etf_codec._backend.SEAM_VERSION`, whose classes and tables this was written for.
const SEAM_VERSION: u32 = 8;

#[pymodule]
fn etf_codec_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("SEAM_VERSION", SEAM_VERSION)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    for function in [
        wrap_pyfunction!(decode::decode, module)?,
        wrap_pyfunction!(decode::decode_prefix, module)?,
        wrap_pyfunction!(decode::decode_bare, module)?,
        wrap_pyfunction!(encode::encode, module)?,
        wrap_pyfunction!(encode::encode_parts, module)?,
        wrap_pyfunction!(encode::encode_bare, module)?,
        wrap_pyfunction!(encode::encode_referring, module)?,
    ] {
        // Where users import them from, which is what tracebacks and pickles should name.
        function.setattr("__module__", "etf_codec")?;
        module.add_function(function)?;
    }
    module.add_class::<packet_reader::PacketReader>()?;
    module.add_class::<packet_writer::PacketWriter>()
}
