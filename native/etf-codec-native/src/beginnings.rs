//! How packets begin: with what others began with before, most likely with what the last one began with.

use std::sync::{Mutex, MutexGuard};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::stop::{Outcome, Stop};
use crate::tags;

type Any<'py> = Bound<'py, PyAny>;

/// What precedes the number of atoms in a header, the length of the packet aside.
pub const HEADER_START: [u8; 2] = [tags::VERSION, tags::DIST_HEADER];

/// How a packet begins.
pub enum Beginning<'py> {
    /// With an opening: what it stands for, and the atoms.
    Opening(Bound<'py, PyTuple>),
    /// With a header that lists these atoms.
    Header(Any<'py>),
}

/// What is known of how packets begin. The owner of the two dicts changes them at will.
pub struct Beginnings {
    /// By size, then by content: what an opening stands for, and the atoms.
    openings: Py<PyDict>,
    /// From their number of atoms on, and the atoms.
    headers: Py<PyDict>,
    last: Mutex<Last>,
}

/// What the last packets began with. To ask a dict for the same key again takes no new object, and no hash.
#[derive(Default)]
struct Last {
    /// The size, and the opening.
    opening: Option<(Py<PyAny>, Py<PyBytes>)>,
    header: Option<Py<PyBytes>>,
}

impl Beginnings {
    pub fn new(openings: &Bound<'_, PyDict>, headers: &Bound<'_, PyDict>) -> Self {
        let (openings, headers) = (openings.clone().unbind(), headers.clone().unbind());
        Beginnings { openings, headers, last: Mutex::default() }
    }

    /// How the packet begins, and how many bytes that are, if it is known.
    pub fn find<'py>(&self, py: Python<'py>, packet: &[u8]) -> Outcome<Option<(Beginning<'py>, usize)>> {
        // Another thread that is here at the same time goes without.
        let mut last = self.last.try_lock().ok();
        match self.opening(py, packet, &mut last)? {
            Some((opening, size)) => Ok(Some((Beginning::Opening(opening), size))),
            None => self.header(py, packet, &mut last),
        }
    }

    fn opening<'py>(
        &self,
        py: Python<'py>,
        packet: &[u8],
        last: &mut Option<MutexGuard<'_, Last>>,
    ) -> Outcome<Option<(Bound<'py, PyTuple>, usize)>> {
        let by_size = self.openings.bind(py);
        if let Some((size, opening)) = last.as_ref().and_then(|last| last.opening.as_ref())
            && packet.starts_with(opening.as_bytes(py))
            && let Some(known) = by_size.get_item(size)?
            && let Some(found) = dict(&known)?.get_item(opening)?
        {
            return Ok(Some((tuple(found)?, opening.as_bytes(py).len())));
        }
        for (size, known) in by_size {
            let Some(opening) = packet.get(..size.extract()?) else { continue };
            let key = PyBytes::new(py, opening);
            if let Some(found) = dict(&known)?.get_item(&key)? {
                if let Some(last) = last {
                    last.opening = Some((size.unbind(), key.unbind()));
                }
                return Ok(Some((tuple(found)?, opening.len())));
            }
        }
        Ok(None)
    }

    fn header<'py>(
        &self,
        py: Python<'py>,
        packet: &[u8],
        last: &mut Option<MutexGuard<'_, Last>>,
    ) -> Outcome<Option<(Beginning<'py>, usize)>> {
        let headers = self.headers.bind(py);
        let Some(header) = header(packet) else { return Ok(None) };
        let size = HEADER_START.len() + header.len();
        if let Some(known) = last.as_ref().and_then(|last| last.header.as_ref())
            && known.as_bytes(py) == header
            && let Some(refs) = headers.get_item(known)?
        {
            return Ok(Some((Beginning::Header(refs), size)));
        }
        let key = PyBytes::new(py, header);
        let Some(refs) = headers.get_item(&key)? else { return Ok(None) };
        if let Some(last) = last {
            last.header = Some(key.unbind());
        }
        Ok(Some((Beginning::Header(refs), size)))
    }
}

fn dict<'a, 'py>(object: &'a Any<'py>) -> Outcome<&'a Bound<'py, PyDict>> {
    object.cast().map_err(|_| Stop::Rerun)
}

fn tuple(object: Any<'_>) -> Outcome<Bound<'_, PyTuple>> {
    object.cast_into().map_err(|_| Stop::Rerun)
}

/// The header that a packet has if none of its entries is new, from the number of atoms on.
#[inline]
fn header(packet: &[u8]) -> Option<&[u8]> {
    let rest = packet.strip_prefix(&HEADER_START)?;
    let count = usize::from(*rest.first()?);
    rest.get(..2 + count / 2 + count)
}
