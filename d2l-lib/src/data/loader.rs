//! Batches of examples.

use std::ops::{Index, Range};

use super::ahead::{Ahead, Coming};
use crate::{Device, Tensor};

/// Tensors with one example for each position along their first axes, cut into batches.
///
/// ```
/// use d2l::prelude::*;
///
/// let (x, y) = (Tensor::rand([10, 3]), Tensor::arange(0..10));
/// let loader = data::DataLoader::new([&x, &y], 4).shuffle();
/// let sizes: Vec<usize> = loader.iter().map(|batch| batch.len()).collect();
/// assert_eq!(sizes, [4, 4, 2]);
/// ```
#[derive(Clone, Debug)]
pub struct DataLoader {
    tensors: Vec<Tensor>,
    batch_size: usize,
    shuffles: bool,
    drops_last: bool,
    /// Where batches are wanted, if not where the examples are.
    device: Option<Device>,
}

impl DataLoader {
    /// Batches of `batch_size` examples, in order; the last may be smaller.
    ///
    /// # Panics
    /// If there is no tensor, `batch_size` is 0, or the first axes differ in length.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// let loader = DataLoader::new([&x], 4);
    /// let batches: Vec<_> = loader.iter().map(|batch| batch[0].to_vec_i64()).collect();
    /// assert_eq!(batches, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    /// ```
    #[track_caller]
    pub fn new(tensors: impl Into<Batch>, batch_size: usize) -> DataLoader {
        DataLoader::of(tensors.into(), batch_size)
    }

    #[track_caller]
    fn of(Batch(tensors): Batch, batch_size: usize) -> DataLoader {
        assert!(batch_size > 0, "DataLoader: batches of 0 examples never end");
        assert!(!tensors.is_empty(), "DataLoader: there must be at least one tensor");
        for tensor in &tensors {
            assert!(
                tensor.ndim() > 0 && tensor.shape()[0] == tensors[0].shape()[0],
                "DataLoader: shapes {:?} and {:?} do not hold the same number of examples",
                tensors[0].shape(),
                tensor.shape()
            );
        }
        // Once and for all: else choosing rows of a view would copy the whole for each batch.
        let tensors = tensors.iter().map(Tensor::contiguous).collect();
        DataLoader {
            tensors,
            batch_size,
            shuffles: false,
            drops_last: false,
            device: None,
        }
    }

    /// In a new random order each time, from the generator that [`seed`](crate::seed) starts.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// let loader = DataLoader::new([&x], 10).shuffle();
    /// let batch = loader.iter().next().unwrap();
    /// assert!(batch[0].sort(0).equal(&x));
    /// ```
    pub fn shuffle(mut self) -> DataLoader {
        self.shuffles = true;
        self
    }

    /// Without the last batch if it is smaller than the others.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// assert_eq!(DataLoader::new([&x], 4).drop_last().len(), 2);
    /// ```
    pub fn drop_last(mut self) -> DataLoader {
        self.drops_last = true;
        self
    }

    /// With batches on `device`. From main memory to a GPU they are brought ahead of time: while
    /// the program works on one batch, a thread collects the elements of the next two, and their
    /// copies go beside what the GPU computes. Order, elements and random numbers are those of
    /// batches that one brings there oneself.
    ///
    /// A batch may have been read when the one before it was handed out, so the examples should
    /// not be changed in the meantime. Of examples that need a gradient nothing is read ahead.
    ///
    /// # Panics
    /// If there is no such device. When [`iter`](DataLoader::iter) is called or the next batch
    /// asked for, if there is no memory for it, or its copy failed.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let (x, gpu) = (Tensor::arange(0..10), d2l::try_gpu(0));
    /// for batch in &DataLoader::new([&x], 4).to_device(gpu) {
    ///     assert_eq!(batch[0].device(), gpu);
    /// }
    /// ```
    #[track_caller]
    pub fn to_device(mut self, device: Device) -> DataLoader {
        if let Device::Cuda(index) = device
            && let Err(error) = Device::cuda(index)
        {
            panic!("to_device: {error}");
        }
        self.device = Some(device);
        self
    }

    /// How many batches there are.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// assert_eq!(DataLoader::new([&x], 4).len(), 3);
    /// ```
    pub fn len(&self) -> usize {
        let n = self.num_examples();
        if self.drops_last { n / self.batch_size } else { n.div_ceil(self.batch_size) }
    }

    /// Whether there is no batch.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// assert!(!DataLoader::new([&x], 4).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many examples there are.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// assert_eq!(DataLoader::new([&x], 4).num_examples(), 10);
    /// ```
    pub fn num_examples(&self) -> usize {
        self.tensors[0].shape()[0]
    }

    /// The batches of one epoch.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// let loader = DataLoader::new([&x], 4);
    /// assert_eq!(loader.iter().map(|batch| batch.len()).sum::<usize>(), 10);
    /// ```
    pub fn iter(&self) -> Batches<'_> {
        let order = self.shuffles.then(|| Tensor::randperm(self.num_examples()));
        let source = Source { tensors: self.tensors.clone(), order };
        let ahead = self.device.and_then(|device| {
            let rows = (0..self.len()).map(|i| self.rows(i)).collect();
            let ahead = Ahead::start(&source, device, rows)?;
            Some(Box::new(ahead) as Box<dyn Coming>)
        });
        Batches { loader: self, source, ahead, next: 0 }
    }

    /// The examples of one batch, by their places in the order of the epoch.
    fn rows(&self, batch: usize) -> Range<usize> {
        let start = batch * self.batch_size;
        start..self.num_examples().min(start + self.batch_size)
    }
}

/// The examples of an epoch, and their order, if it is not that in which they lie.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) tensors: Vec<Tensor>,
    pub(super) order: Option<Tensor>,
}

impl Source {
    /// Some examples, by their places in the order.
    pub(super) fn take(&self, rows: Range<usize>) -> Vec<Tensor> {
        let tensors = self.tensors.iter();
        match &self.order {
            Some(order) => {
                let chosen = order.narrow(0, rows.start, rows.len());
                tensors.map(|tensor| tensor.index_select(0, &chosen)).collect()
            }
            None => {
                tensors.map(|tensor| tensor.narrow(0, rows.start, rows.len())).collect()
            }
        }
    }
}

impl<'a> IntoIterator for &'a DataLoader {
    type Item = Batch;
    type IntoIter = Batches<'a>;

    fn into_iter(self) -> Batches<'a> {
        self.iter()
    }
}

/// The batches of one epoch; see [`DataLoader::iter`].
///
/// ```
/// use d2l::{data::DataLoader, prelude::*};
///
/// let x = Tensor::arange(0..10);
/// let loader = DataLoader::new([&x], 4);
/// let mut batches = loader.iter();
/// assert_eq!(batches.next().unwrap()[0].to_vec_i64(), [0, 1, 2, 3]);
/// assert_eq!(batches.len(), 2);
/// ```
#[derive(Debug)]
pub struct Batches<'a> {
    loader: &'a DataLoader,
    source: Source,
    /// Behind a trait, so that what ends it is not compiled wherever batches are used.
    ahead: Option<Box<dyn Coming>>,
    next: usize,
}

impl Iterator for Batches<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.next == self.loader.len() {
            return None;
        }
        let rows = self.loader.rows(self.next);
        self.next += 1;
        Some(match (&mut self.ahead, self.loader.device) {
            (Some(ahead), _) => Batch(ahead.next()),
            (None, Some(device)) => Batch(self.source.take(rows)).to_device(device),
            (None, None) => Batch(self.source.take(rows)),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.loader.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches<'_> {}

/// Some examples: tensors with one length along their first axes, usually inputs and targets.
///
/// Made from references: `Batch::from([&x, &y])`.
///
/// ```
/// use d2l::{data::DataLoader, prelude::*};
///
/// let x = Tensor::arange(0..10);
/// let batch = data::Batch::from([&x, &(&x * 2)]);
/// assert_eq!(batch[1].to_vec_i64()[9], 18);
/// ```
#[derive(Clone, Debug)]
pub struct Batch(Vec<Tensor>);

impl Batch {
    fn of(tensors: &[&Tensor]) -> Batch {
        Batch(tensors.iter().copied().cloned().collect())
    }

    /// How many examples it holds.
    ///
    /// # Panics
    /// If the first tensor has no axis.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// assert_eq!(data::Batch::from([&x]).len(), 10);
    /// ```
    pub fn len(&self) -> usize {
        self.0.first().map_or(0, |tensor| tensor.shape()[0])
    }

    /// Whether it holds no example.
    ///
    /// # Panics
    /// If the first tensor has no axis.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// assert!(!data::Batch::from([&x]).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tensors, an example for each position along their first axes.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// assert_eq!(data::Batch::from([&x, &x, &x]).tensors().len(), 3);
    /// ```
    pub fn tensors(&self) -> &[Tensor] {
        &self.0
    }

    /// These examples on `device`: tensors that are there as they are, of others copies.
    ///
    /// # Panics
    /// Where [`Tensor::to_device`] does.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let (x, gpu) = (Tensor::arange(0..10), d2l::try_gpu(0));
    /// assert_eq!(data::Batch::from([&x]).to_device(gpu)[0].device(), gpu);
    /// ```
    #[track_caller]
    pub fn to_device(&self, device: Device) -> Batch {
        // A loop, for a panic in a closure would not be told at the caller's line.
        let mut there = Vec::with_capacity(self.0.len());
        for tensor in &self.0 {
            there.push(tensor.to_device(device));
        }
        Batch(there)
    }

    /// The first tensor and the second, `(n, …)` both: `let (x, y) = batch.pair();`
    ///
    /// # Panics
    /// If there are not exactly two.
    ///
    /// ```
    /// use d2l::{data::DataLoader, prelude::*};
    ///
    /// let x = Tensor::arange(0..10);
    /// let (first, second) = data::Batch::from([&x, &(&x * 2)]).pair();
    /// assert!(second.equal(&(first * 2)));
    /// ```
    #[track_caller]
    pub fn pair(self) -> (Tensor, Tensor) {
        let count = self.0.len();
        match <[Tensor; 2]>::try_from(self.0) {
            Ok([x, y]) => (x, y),
            Err(_) => panic!("pair: this batch has {count} tensors, not two"),
        }
    }
}

impl Index<usize> for Batch {
    type Output = Tensor;

    #[track_caller]
    fn index(&self, i: usize) -> &Tensor {
        assert!(
            i < self.0.len(),
            "there is no tensor {i} in a batch of {}",
            self.0.len()
        );
        &self.0[i]
    }
}

impl<const N: usize> From<[&Tensor; N]> for Batch {
    fn from(tensors: [&Tensor; N]) -> Batch {
        Batch::of(&tensors)
    }
}

impl From<Vec<Tensor>> for Batch {
    fn from(tensors: Vec<Tensor>) -> Batch {
        Batch(tensors)
    }
}

impl From<&super::Images> for Batch {
    fn from(set: &super::Images) -> Batch {
        Batch(vec![set.images.clone(), set.labels.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn every_example_comes_once_with_its_own_target() {
        let x = Tensor::arange(0.0..22.0).reshape([11, 2]);
        let y = Tensor::arange(0..11);
        let loader = DataLoader::new([&x, &y], 4).shuffle();
        let mut orders = Vec::new();
        for _ in 0..2 {
            let mut seen = Vec::new();
            for (x, y) in loader.iter().map(Batch::pair) {
                assert!(x.i((.., 0)).equal(&(y.to_dtype(DType::F32) * 2.0)));
                seen.extend(y.to_vec_i64());
            }
            orders.push(seen.clone());
            seen.sort_unstable();
            assert_eq!(seen, Vec::from_iter(0..11));
        }
        assert_ne!(orders[0], orders[1]);
    }

    #[test]
    fn views_are_copied_once_and_not_for_each_batch() {
        let table = Tensor::arange(0.0..12.0).reshape([3, 4]);
        let loader = DataLoader::new([&table.t()], 2).shuffle();
        assert!(loader.tensors[0].is_contiguous());
        assert!(loader.tensors[0].equal(&table.t()));
        let whole = DataLoader::new([&table], 2);
        assert!(whole.tensors[0].same_storage(&table));
    }

    #[test]
    fn a_small_last_batch_can_be_left_out() {
        let x = Tensor::zeros([11, 2]);
        let loader = DataLoader::new([&x], 4).drop_last();
        assert_eq!(loader.iter().map(|batch| batch.len()).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(loader.len(), 2);
        assert!(DataLoader::new([&x], 12).drop_last().is_empty());
    }
}
