//! Data: files read into tensors, data sets, batches.
//!
//! ```
//! use d2l::prelude::*;
//!
//! let x = Tensor::arange(0.0..10.0).reshape([5, 2]);
//! let y = Tensor::arange(0..5);
//! let loader = data::DataLoader::new([&x, &y], 2);
//! for batch in &loader {
//!     let (x, y) = (&batch[0], &batch[1]);
//!     assert_eq!(x.len_of(0), y.len_of(0));
//! }
//! assert_eq!(loader.len(), 3);
//! ```

mod ahead;
mod fashion;
mod idx;
mod loader;
mod table;

pub use crate::FileError;
pub use fashion::{FASHION_LABELS, Images, Split, fashion_mnist};
pub use idx::{read_idx, read_idx_file};
pub use loader::{Batch, DataLoader};
pub use table::{Column, Table, ames};
