//! Plain numbers, from whatever holds them.

use crate::Tensor;

/// A row of numbers to plot: made from slices, arrays and vectors of floats or integers,
/// and from tensors.
///
/// ```
/// use d2l::plot::Values;
/// assert_eq!(Values::from([1, 2]), Values::from(vec![1.0_f32, 2.0]));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(pub(super) Vec<f64>);

/// Numbers in rows and columns, for heat maps and pictures.
///
/// ```
/// use d2l::plot::Matrix;
/// let matrix = Matrix::new(2, 2, [1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(matrix, Matrix::from([[1.0, 2.0], [3.0, 4.0]]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) values: Vec<f64>,
}

impl Matrix {
    /// Arranges `values`, row after row.
    ///
    /// # Panics
    /// If there are not `rows × columns` values.
    #[track_caller]
    pub fn new(rows: usize, columns: usize, values: impl Into<Values>) -> Matrix {
        Matrix::of(rows, columns, values.into().0)
    }

    #[track_caller]
    fn of(rows: usize, columns: usize, values: Vec<f64>) -> Matrix {
        assert!(
            values.len() == rows * columns,
            "Matrix::new: {} values do not fill {rows} × {columns}",
            values.len()
        );
        Matrix { rows, columns, values }
    }
}

/// Heights over a grid: a row for each of `y`, a column for each of `x`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heights {
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    pub(super) z: Vec<f64>,
}

impl Heights {
    #[track_caller]
    pub(super) fn new(method: &str, x: Values, y: Values, z: Matrix) -> Heights {
        let (Values(x), Values(y), Matrix { rows, columns, values: z }) = (x, y, z);
        assert!(
            x.len() == columns && y.len() == rows && rows.min(columns) > 1,
            "Figure::{method}: {rows} × {columns} heights over {} values of x and {} of y",
            x.len(),
            y.len()
        );
        Heights { x, y, z }
    }

    /// Place and height of a node.
    pub(super) fn node(&self, row: usize, column: usize) -> [f64; 3] {
        [self.x[column], self.y[row], self.z[row * self.x.len() + column]]
    }

    /// All nodes, row after row.
    pub(super) fn nodes(&self) -> Vec<[f64; 3]> {
        let n = self.x.len();
        (0..self.z.len()).map(|i| self.node(i / n, i % n)).collect()
    }
}

impl From<&Values> for Values {
    fn from(values: &Values) -> Values {
        values.clone()
    }
}

/// All elements, row after row.
impl From<&Tensor> for Values {
    fn from(tensor: &Tensor) -> Values {
        Values(tensor.to_vec_f64())
    }
}

impl From<Tensor> for Values {
    fn from(tensor: Tensor) -> Values {
        Values::from(&tensor)
    }
}

/// # Panics
/// If the tensor has not two axes.
impl From<&Tensor> for Matrix {
    #[track_caller]
    fn from(tensor: &Tensor) -> Matrix {
        let &[rows, columns] = tensor.shape() else {
            panic!("Matrix: a tensor of shape {:?} has not two axes", tensor.shape());
        };
        Matrix { rows, columns, values: tensor.to_vec_f64() }
    }
}

impl From<Tensor> for Matrix {
    #[track_caller]
    fn from(tensor: Tensor) -> Matrix {
        Matrix::from(&tensor)
    }
}

macro_rules! values_from {
    ($($number:ty),*) => {$(
        impl From<&[$number]> for Values {
            fn from(values: &[$number]) -> Values {
                Values(values.iter().map(|&v| v as f64).collect())
            }
        }

        impl From<Vec<$number>> for Values {
            fn from(values: Vec<$number>) -> Values {
                values.as_slice().into()
            }
        }

        impl From<&Vec<$number>> for Values {
            fn from(values: &Vec<$number>) -> Values {
                values.as_slice().into()
            }
        }

        impl<const N: usize> From<[$number; N]> for Values {
            fn from(values: [$number; N]) -> Values {
                values.as_slice().into()
            }
        }

        impl<const N: usize> From<&[$number; N]> for Values {
            fn from(values: &[$number; N]) -> Values {
                values.as_slice().into()
            }
        }

        impl<const R: usize, const C: usize> From<[[$number; C]; R]> for Matrix {
            fn from(rows: [[$number; C]; R]) -> Matrix {
                Matrix { rows: R, columns: C, values: Values::from(rows.as_flattened()).0 }
            }
        }
    )*};
}

values_from!(f64, f32, i64, i32, u32, u8, usize);
