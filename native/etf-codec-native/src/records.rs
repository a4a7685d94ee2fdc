//! Objects that are made of tuples.

use pyo3::intern;
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

/// What an element must be.
enum Kinds {
    /// Of one of these types.
    Types(SmallVec<[Py<PyAny>; 2]>),
    /// This integer.
    Number(i64),
}

/// What to make of a tuple.
struct Record {
    /// What the tuple begins with.
    number: i64,
    class: Py<PyAny>,
    /// The name, and the types, of what becomes of each of the other elements.
    fields: Vec<(Py<PyString>, Kinds)>,
    has_term: bool,
    /// Of which node the first of the elements must be.
    node: Option<Py<PyString>>,
    /// The other attributes, and what they are.
    others: Vec<(Py<PyString>, Py<PyAny>)>,
}

/// What to make of tuples: there are few such, so each is looked at.
pub struct Records(Vec<Record>);

type Text<'py> = Bound<'py, PyString>;

/// The class, the names, the types, whether a term follows, the node, and other attributes: `PacketRecord` in
/// Python.
type Given<'py> = (Any<'py>, Vec<Text<'py>>, Vec<Any<'py>>, bool, Option<Text<'py>>, Bound<'py, PyDict>);

impl Records {
    /// Given by number.
    pub fn of(records: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut found = Vec::new();
        for (number, known) in records {
            let (class, names, types, has_term, node, others): Given<'_> = known.extract()?;
            let kinds = types.iter().map(Kinds::of).collect::<PyResult<Vec<_>>>()?;
            found.push(Record {
                number: number.extract()?,
                class: class.unbind(),
                fields: names.into_iter().map(Bound::unbind).zip(kinds).collect(),
                has_term,
                node: node.map(Bound::unbind),
                others: others
                    .iter()
                    .map(|(name, value)| Ok((name.cast_into::<PyString>()?.unbind(), value.unbind())))
                    .collect::<PyResult<Vec<_>>>()?,
            });
        }
        Ok(Records(found))
    }

    /// What is to be made of the tuple at the cursor, which then stands behind it, and whether a term follows;
    /// none, and the cursor anywhere, if that is nothing, or only the whole tuple tells.
    #[inline]
    pub fn read<'py>(&self, reader: &mut Reader<'_, 'py>) -> Outcome<Option<(Any<'py>, bool)>> {
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
        for (_, kinds) in &record.fields {
            let tag = reader.cursor.u8()?;
            match reader.leaf(tag, false)? {
                Some(value) if kinds.fit(&value) => values.push(value),
                _ => return Ok(None),
            }
        }
        let made = record.made(reader.shared, reader.py, &values)?;
        Ok(made.map(|made| (made, record.has_term)))
    }

    /// What is to be made of a tuple behind which a term stands, or none, if anything.
    pub fn make<'py>(
        &self,
        shared: &Shared,
        tuple: &Bound<'py, PyTuple>,
        has_term: bool,
    ) -> Outcome<Option<Any<'py>>> {
        let Ok(first) = tuple.get_item(0) else { return Ok(None) };
        let Ok(number) = first.extract::<i64>() else { return Ok(None) };
        let values: SmallVec<[Any<'py>; FEW_FIELDS]> = tuple.iter().skip(1).collect();
        let is_alike = |record: &&Record| {
            record.number == number
                && record.has_term == has_term
                && record.fields.len() == values.len()
                && values.iter().zip(&record.fields).all(|(value, (_, kinds))| kinds.fit(value))
        };
        match self.0.iter().find(is_alike) {
            Some(record) if first.is_exact_instance_of::<PyInt>() => record.made(shared, tuple.py(), &values),
            _ => Ok(None),
        }
    }
}

impl Record {
    /// The object; none if it is of another node than it must be.
    fn made<'py>(&self, shared: &Shared, py: Python<'py>, values: &[Any<'py>]) -> Outcome<Option<Any<'py>>> {
        if let Some(node) = &self.node {
            let Some(first) = values.first() else { return Ok(None) };
            if !first.getattr(intern!(py, "node"))?.eq(node)? {
                return Ok(None);
            }
        }
        let made = shared.new_object.bind(py).call1((&self.class,))?;
        for (value, (name, _)) in values.iter().zip(&self.fields) {
            made.setattr(name, value)?;
        }
        for (name, value) in &self.others {
            made.setattr(name, value)?;
        }
        Ok(Some(made))
    }
}

impl Kinds {
    /// Given as a type, a tuple of types, or an integer.
    fn of(given: &Any<'_>) -> PyResult<Self> {
        if let Ok(several) = given.cast::<PyTuple>() {
            return Ok(Kinds::Types(several.iter().map(Bound::unbind).collect()));
        }
        match given.extract() {
            Ok(number) => Ok(Kinds::Number(number)),
            Err(_) => Ok(Kinds::Types(std::iter::once(given.clone().unbind()).collect())),
        }
    }

    fn fit(&self, value: &Any<'_>) -> bool {
        match self {
            Kinds::Types(types) => {
                let class = value.get_type_ptr();
                types.iter().any(|kind| kind.as_ptr() == class.cast())
            }
            Kinds::Number(number) => {
                value.is_exact_instance_of::<PyInt>()
                    && value.extract::<i64>().is_ok_and(|value| value == *number)
            }
        }
    }
}
