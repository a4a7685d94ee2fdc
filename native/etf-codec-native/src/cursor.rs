//! Reads from the input, each checked: what is not there is an outcome, never a panic.

use crate::stop::{Outcome, Stop};

#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    pub data: &'a [u8],
    pub pos: usize,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub fn left(&self) -> usize {
        self.data.len().saturating_sub(self.pos)
    }

    /// The next byte, which stays next.
    #[inline(always)]
    pub fn peek(&self) -> Outcome<u8> {
        self.data.get(self.pos).copied().ok_or(Stop::Rerun)
    }

    #[inline(always)]
    pub fn take(&mut self, size: usize) -> Outcome<&'a [u8]> {
        let end = self.pos.checked_add(size).ok_or(Stop::Rerun)?;
        let taken = self.data.get(self.pos..end).ok_or(Stop::Rerun)?;
        self.pos = end;
        Ok(taken)
    }

    #[inline(always)]
    pub fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let (taken, _) = self.data.get(self.pos..).and_then(<[u8]>::split_first_chunk).ok_or(Stop::Rerun)?;
        self.pos += N;
        Ok(*taken)
    }

    #[inline(always)]
    pub fn u8(&mut self) -> Outcome<u8> {
        Ok(self.array::<1>()?[0])
    }

    #[inline(always)]
    pub fn u16(&mut self) -> Outcome<usize> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    #[inline(always)]
    pub fn u32(&mut self) -> Outcome<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    #[inline(always)]
    pub fn size(&mut self) -> Outcome<usize> {
        usize::try_from(self.u32()?).map_err(|_| Stop::Rerun)
    }
}
