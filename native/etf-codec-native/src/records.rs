//! Objects that are made of tuples.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple};

use smallvec::SmallVec;

use crate::reader::Reader;
use crate::shared::Shared;
use crate::stop::Outcome;
use crate::tags;

type Any<'py> = Bound<'py, PyAny>;

/// What a record has of them, mostly.
const FEW_FIELDS: usize = 4;

/// What to make of a tuple.
struct Record {
    /// What the tuple begins with.
    number: i64,
    class: Py<PyAny>,
    /// The name, and the type, of what becomes of each of the other elements.
    fields: Vec<(Py<PyString>, Py<PyAny>)>,
}

/// What to make of tuples: there are few such, so each is looked at.
pub struct Records(Vec<Record>);

impl Records {
    /// Given by number: the class, the names, the types.
    pub fn of(records: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut found = Vec::new();
        for (number, known) in records {
            let (class, names, types): (Any<'_>, Vec<Bound<'_, PyString>>, Vec<Any<'_>>) = known.extract()?;
            let fields = names.into_iter().map(Bound::unbind).zip(types.into_iter().map(Bound::unbind));
            found.push(Record { number: number.extract()?, class: class.unbind(), fields: fields.collect() });
        }
        Ok(Records(found))
    }

    /// What is to be made of the tuple at the cursor, which then stands behind it; none, and the cursor
    /// anywhere, if that is nothing, or only the whole tuple tells.
    #[inline]
    pub fn read<'py>(&self, reader: &mut Reader<'_, 'py>) -> Outcome<Option<Any<'py>>> {
        let Ok([tuple, arity, integer, number]) = reader.cursor.array() else { return Ok(None) };
        let is_alike = |record: &&Record| {
            record.number == i64::from(number) && record.fields.len() + 1 == usize::from(arity)
        };
        let allowed = reader.bounds.depth > 0 && usize::from(arity) <= reader.bounds.elements;
        if tuple != tags::SMALL_TUPLE_EXT || integer != tags::SMALL_INTEGER_EXT || !allowed {
            return Ok(None);
        }
        let Some(record) = self.0.iter().find(is_alike) else { return Ok(None) };
        let mut values: SmallVec<[Any<'py>; FEW_FIELDS]> = SmallVec::new();
        for (_, kind) in &record.fields {
            let tag = reader.cursor.u8()?;
            match reader.leaf(tag, false)? {
                Some(value) if value.get_type().is(kind) => values.push(value),
                _ => return Ok(None),
            }
        }
        record.made(reader.shared, reader.py, values.iter()).map(Some)
    }

    /// What is to be made of a tuple, if anything.
    pub fn make<'py>(&self, shared: &Shared, tuple: &Bound<'py, PyTuple>) -> Outcome<Option<Any<'py>>> {
        let Ok(first) = tuple.get_item(0) else { return Ok(None) };
        let Ok(number) = first.extract::<i64>() else { return Ok(None) };
        let values: SmallVec<[Any<'py>; FEW_FIELDS]> = tuple.iter().skip(1).collect();
        let is_alike = |record: &&Record| {
            record.number == number
                && record.fields.len() == values.len()
                && values.iter().zip(&record.fields).all(|(value, (_, kind))| value.get_type().is(kind))
        };
        match self.0.iter().find(is_alike) {
            Some(record) if first.is_exact_instance_of::<PyInt>() => {
                record.made(shared, tuple.py(), values.iter()).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl Record {
    fn made<'a, 'py: 'a>(
        &self,
        shared: &Shared,
        py: Python<'py>,
        values: impl Iterator<Item = &'a Any<'py>>,
    ) -> Outcome<Any<'py>> {
        let made = shared.new_object.bind(py).call1((&self.class,))?;
        for (value, (name, _)) in values.zip(&self.fields) {
            made.setattr(name, value)?;
        }
        Ok(made)
    }
}
