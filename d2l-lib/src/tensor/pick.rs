//! Elements and rows by number: gather, scatter, one-hot, masks, triangles.

use super::{Tensor, Value, create::constant};
use crate::{
    autograd::record,
    device::threads,
    dtype::{DType, with_dtype, with_float},
    ops::{
        cuda,
        elementwise::GRAIN,
        number::{Number, with_number},
        rounded, widened,
    },
    shape::{Shape, axis_of, broadcast},
};

impl Tensor {
    /// Along `axis`, the elements at the positions in `index`: for `axis` 1,
    /// `out[i, j] = x[i, index[i, j]]`. The result has the shape of `index`. Negative
    /// positions count from the end.
    ///
    /// # Panics
    /// If there is no such axis, or `index` holds no integers, has more or fewer axes, is
    /// longer along another axis, or names a position outside.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.gather(1, &tensor([[1], [0]])).to_vec(), [2.0, 3.0]);
    /// ```
    #[track_caller]
    pub fn gather(&self, axis: i64, index: &Tensor) -> Tensor {
        let places = self.places("gather", axis, index);
        let out = with_dtype!(self.dtype(), T => {
            let values = self.to_vec_of::<T>();
            let picked = places.iter().map(|&at| values[at]).collect();
            Tensor::new(picked, index.layout.shape)
        });
        let (shape, dtype) = (self.layout.shape, self.dtype());
        record("gather", out, &[self], |tape, _| {
            tape.edge(self, || {
                move |g: &Tensor| {
                    let whole = constant(shape, dtype.wide(), Value::Float(0.0));
                    with_float!(dtype, T => {
                        add_at::<T>(&whole, &places, &widened(g).to_vec_of::<T>())
                    });
                    rounded(whole, dtype)
                }
            });
        })
    }

    /// A copy, of this shape and type, to which `source` is added along `axis`, at the
    /// positions in `index`, which may repeat: for `axis` 1,
    /// `out[i, index[i, j]] += source[i, j]`.
    ///
    /// # Panics
    /// Where [`gather`](Tensor::gather) does, and if the shapes of `source` and `index`
    /// differ.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = Tensor::zeros([1, 3]);
    /// let y = x.scatter_add(1, &tensor([[0, 2, 2]]), &tensor([[1.0, 2.0, 3.0]]));
    /// assert_eq!(y.to_vec(), [1.0, 0.0, 5.0]);
    /// ```
    #[track_caller]
    pub fn scatter_add(&self, axis: i64, index: &Tensor, source: &Tensor) -> Tensor {
        assert!(
            index.shape() == source.shape(),
            "scatter_add: positions of shape {:?} for values of shape {:?}",
            index.shape(),
            source.shape()
        );
        let places = self.places("scatter_add", axis, index);
        let source = source.to_dtype(self.dtype());
        let out = widened(&self.detach()).copy();
        with_number!(self.dtype(), T => {
            add_at::<T>(&out, &places, &widened(&source).to_vec_of::<T>())
        });
        let out = rounded(out, self.dtype());
        record("scatter_add", out, &[self, &source], |tape, _| {
            tape.edge(self, || Tensor::clone);
            let index = index.saved();
            tape.edge(&source, || move |g: &Tensor| g.gather(axis, &index));
        })
    }

    /// The slices along `axis` at the positions in `index`, a vector of integers: `axis` gets
    /// the length of `index`. Negative positions count from the end.
    ///
    /// # Panics
    /// If there is no such axis, or `index` is no vector of integers or names a position
    /// outside. (Positions on a GPU are not looked at: those outside give NaN, or integers 0.)
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.index_select(1, &tensor([2, 0])).to_vec_i64(), [3, 1, 6, 4]);
    /// ```
    #[track_caller]
    pub fn index_select(&self, axis: i64, index: &Tensor) -> Tensor {
        let axis = axis_of("index_select", axis, self.ndim());
        assert!(
            index.ndim() == 1,
            "index_select: positions are a vector, not shape {:?}",
            index.shape()
        );
        if axis == 0 {
            return self.rows("index_select", index);
        }
        self.transpose(0, axis as i64)
            .rows("index_select", index)
            .transpose(0, axis as i64)
    }

    /// Rows of a table by number: from a table `(rows, …)` and integers of any shape `(…)`,
    /// the tensor `(…, …)` with a row for each integer. The gradient adds up over repeated
    /// rows. Negative numbers count from the end.
    ///
    /// # Panics
    /// If the table has no axis, or `index` holds no integers or one that is no row. (Numbers
    /// on a GPU are not looked at: those of no row give NaN, or integers 0.)
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let table = tensor([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(table.embedding(&tensor([1, 0, 1])).shape(), [3, 2]);
    /// ```
    #[track_caller]
    pub fn embedding(&self, index: &Tensor) -> Tensor {
        self.rows("embedding", index)
    }

    #[track_caller]
    fn rows(&self, op: &'static str, index: &Tensor) -> Tensor {
        assert!(self.ndim() > 0, "{op}: a number has no rows");
        let count = self.shape()[0];
        let shape = Shape::new(&[index.shape(), &self.shape()[1..]].concat());
        if !self.storage.is_host() {
            let index = on_device_of(self, op, index);
            if let Some(out) = cuda::rows_of(op, self, &index, shape) {
                let from = self.layout.shape;
                return record(op, out, &[self], |tape, _| {
                    tape.edge(self, || {
                        move |g: &Tensor| {
                            cuda::rows_of_back(g, &index, from).expect("all on one GPU")
                        }
                    });
                });
            }
        }
        let rows = positions(op, index, count, self.shape());
        let width: usize = self.shape()[1..].iter().product();
        let out = with_dtype!(self.dtype(), T => {
            let table = self.contiguous();
            let values = table.storage.read::<T>();
            let values = &values[table.layout.offset..];
            Tensor::filled(shape, |out: &mut [T]| {
                // Not called where there is nothing to fill, so the width is not 0.
                threads::rows_mut(out, width, GRAIN.div_ceil(width), &|first, out| {
                    for (&row, out) in rows[first..].iter().zip(out.chunks_exact_mut(width)) {
                        out.copy_from_slice(&values[row * width..][..width]);
                    }
                });
            })
        });
        let (from, dtype) = (self.layout.shape, self.dtype());
        record(op, out, &[self], |tape, _| {
            tape.edge(self, || {
                move |g: &Tensor| {
                    let whole = constant(from, dtype.wide(), Value::Float(0.0));
                    with_float!(dtype, T => {
                        let g = widened(g).contiguous();
                        let values = g.storage.read::<T>();
                        let values = &values[g.layout.offset..];
                        whole.storage.write::<T>(|out| {
                            for (&row, g) in rows.iter().zip(values.chunks(width.max(1))) {
                                let out = &mut out[row * width..(row + 1) * width];
                                out.iter_mut().zip(g).for_each(|(out, g)| *out += g);
                            }
                        });
                    });
                    rounded(whole, dtype)
                }
            });
        })
    }

    /// For each element of `index`, its place among the elements of this tensor in order.
    #[track_caller]
    fn places(&self, op: &str, axis: i64, index: &Tensor) -> Vec<usize> {
        let axis = axis_of(op, axis, self.ndim());
        let (shape, wanted) = (self.shape(), index.shape());
        let fits = wanted.len() == shape.len()
            && (0..shape.len()).all(|a| a == axis || wanted[a] <= shape[a]);
        assert!(
            fits,
            "{op}: positions of shape {wanted:?} along axis {axis} of shape {shape:?}"
        );
        let found = positions(op, index, shape[axis], shape);
        let steps = crate::layout::Layout::contiguous(self.layout.shape).strides;
        let mut at = vec![0; shape.len()];
        let mut places = Vec::with_capacity(found.len());
        for position in found {
            let place = (0..at.len())
                .map(|a| if a == axis { position } else { at[a] } * steps[a]);
            places.push(place.sum());
            for a in (0..at.len()).rev() {
                at[a] += 1;
                if at[a] < wanted[a] {
                    break;
                }
                at[a] = 0;
            }
        }
        places
    }

    /// Integers as rows of zeros with a single one: `(…) → (…, classes)`, as `f32`. Negative
    /// numbers count from the last class.
    ///
    /// # Panics
    /// If this tensor holds no integers, or one that is no class.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(tensor([1, 0]).one_hot(3).to_vec(), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    /// ```
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        let mut shape = self.shape().to_vec();
        shape.push(classes);
        let shape = Shape::new(&shape);
        let mut out = vec![0.0_f32; shape.numel()];
        for (i, class) in
            positions("one_hot", self, classes, &shape).into_iter().enumerate()
        {
            out[i * classes + class] = 1.0;
        }
        Tensor::new(out, shape).to_device(self.device())
    }

    /// `value` where `mask` is true, else the elements of this tensor; all broadcast to the
    /// shape of the result.
    ///
    /// # Panics
    /// If `mask` is no bool tensor, or the shapes do not broadcast.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let x = tensor([1.0, -2.0]);
    /// assert_eq!(x.masked_fill(&x.lt(0), 9.0).to_vec(), [1.0, 9.0]);
    /// ```
    #[track_caller]
    pub fn masked_fill<'a>(
        &'a self,
        mask: &Tensor,
        value: impl Into<Value<'a>>,
    ) -> Tensor {
        self.fill_where(mask, value.into())
    }

    #[track_caller]
    fn fill_where(&self, mask: &Tensor, value: Value) -> Tensor {
        let kind = mask.dtype();
        assert!(kind == DType::Bool, "masked_fill: the mask must be bool, not {kind}");
        assert!(
            broadcast(mask.shape(), self.shape()).is_some(),
            "masked_fill: a mask of shape {:?} and shape {:?} do not broadcast",
            mask.shape(),
            self.shape()
        );
        Tensor::where_(mask, value, self)
    }

    /// The lower triangle of matrices `(…, rows, columns)`, zeros elsewhere: the elements at
    /// most `diagonal` columns right of the main diagonal.
    ///
    /// # Panics
    /// If there are less than two axes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::ones([2, 2]).tril(0).to_vec(), [1.0, 0.0, 1.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn tril(&self, diagonal: i64) -> Tensor {
        self.triangle("tril", |row, column| column <= row + diagonal)
    }

    /// The upper triangle of matrices `(…, rows, columns)`, zeros elsewhere: the elements from
    /// `diagonal` columns right of the main diagonal on.
    ///
    /// # Panics
    /// If there are less than two axes.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// assert_eq!(Tensor::ones([2, 2]).triu(1).to_vec(), [0.0, 1.0, 0.0, 0.0]);
    /// ```
    #[track_caller]
    pub fn triu(&self, diagonal: i64) -> Tensor {
        self.triangle("triu", |row, column| column >= row + diagonal)
    }

    #[track_caller]
    fn triangle(&self, op: &str, keep: impl Fn(i64, i64) -> bool) -> Tensor {
        let shape = self.shape();
        assert!(shape.len() >= 2, "{op}: shape {shape:?} has no rows and columns");
        let [rows, columns] = [shape[shape.len() - 2], shape[shape.len() - 1]];
        let kept = (0..rows as i64)
            .flat_map(|row| (0..columns as i64).map(move |column| (row, column)))
            .map(|(row, column)| keep(row, column));
        let mask = Tensor::new(kept.collect::<Vec<bool>>(), Shape::new(&[rows, columns]));
        let mask = mask.to_device(self.device());
        let zero = constant(Shape::new(&[]), self.dtype(), Value::Int(0));
        Tensor::where_(&mask, self, zero)
    }
}

/// Numbers of rows of `table` on its GPU. They are checked only where they are here: to look at a
/// GPU's would be to wait for it.
#[track_caller]
fn on_device_of(table: &Tensor, op: &str, index: &Tensor) -> Tensor {
    let dtype = index.dtype();
    assert!(
        matches!(dtype, DType::I64 | DType::U8),
        "{op}: positions are whole numbers, not {dtype}"
    );
    if index.storage.is_host() {
        positions(op, index, table.shape()[0], table.shape());
    }
    index.saved().to_device(table.device()).to_dtype(DType::I64)
}

/// The elements of `index`, negative ones counted from the end, checked to be below `length`.
#[track_caller]
fn positions(op: &str, index: &Tensor, length: usize, shape: &[usize]) -> Vec<usize> {
    let dtype = index.dtype();
    assert!(
        matches!(dtype, DType::I64 | DType::U8),
        "{op}: positions are whole numbers, not {dtype}"
    );
    // A loop and no closure, which would hide the caller's line from the panic.
    let mut positions = index.to_vec_i64();
    for at in &mut positions {
        let from_start = if *at < 0 { *at + length as i64 } else { *at };
        assert!(
            (0..length as i64).contains(&from_start),
            "{op}: position {at} is outside an axis of length {length} of shape {shape:?}"
        );
        *at = from_start;
    }
    positions.into_iter().map(|at| at as usize).collect()
}

/// Adds `values` to the elements at `places` of `x`, which lies row after row in storage of
/// its own.
fn add_at<T: Number>(x: &Tensor, places: &[usize], values: &[T]) {
    x.storage.write::<T>(|out| {
        for (&at, &value) in places.iter().zip(values) {
            out[at] = out[at].plus(value);
        }
    });
}
