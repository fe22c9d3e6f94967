//! Fashion-MNIST: 28 × 28 pictures of clothes, in ten classes (Xiao, Rasul and Vollgraf,
//! 2017).

use std::path::PathBuf;

use super::{read_idx, read_idx_file};
use crate::{DType, FileError, Tensor};

/// The names of the classes, in the order of their numbers.
///
/// ```
/// assert_eq!(d2l::data::FASHION_LABELS[9], "ankle boot");
/// ```
pub const FASHION_LABELS: [&str; 10] = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
];

/// Which part of a data set.
///
/// ```
/// use d2l::data::{Split, fashion_mnist};
///
/// let [train, test] = [Split::Train, Split::Test].map(|split| fashion_mnist(split).unwrap());
/// assert!(train.len() > test.len());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// To learn from.
    Train,
    /// To judge by.
    Test,
}

/// Images with labels.
///
/// ```
/// use d2l::data::{Split, fashion_mnist};
///
/// let test = fashion_mnist(Split::Test)?;
/// assert_eq!(test.images.shape()[0], test.labels.shape()[0]);
/// # Ok::<(), d2l::FileError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Images {
    /// `(n, channels, height, width)`, as `f32` from 0 to 1.
    pub images: Tensor,
    /// `(n)`, as `i64`.
    pub labels: Tensor,
    /// Where they come from, in one line for the reader.
    pub source: String,
}

impl Images {
    /// How many images there are.
    ///
    /// ```
    /// use d2l::data::{Split, fashion_mnist};
    ///
    /// let test = fashion_mnist(Split::Test)?;
    /// assert_eq!(test.len(), test.labels.numel());
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn len(&self) -> usize {
        self.labels.numel()
    }

    /// Whether there is none.
    ///
    /// ```
    /// use d2l::data::{Split, fashion_mnist};
    ///
    /// assert!(!fashion_mnist(Split::Test)?.is_empty());
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

macro_rules! embedded {
    ($name:literal) => {
        ($name, &include_bytes!(concat!("../../data/", $name))[..])
    };
}

/// Fashion-MNIST: the whole set where the environment variable `D2L_DATA` names a folder
/// that has it, else the class-balanced sample of 5,000 and 1,000 images that the library
/// carries; [`source`](Images::source) says which.
///
/// # Errors
/// If `D2L_DATA` has the files, and they are damaged.
///
/// ```
/// use d2l::{data::{Split, fashion_mnist}, prelude::*};
///
/// let test = fashion_mnist(Split::Test)?;
/// assert_eq!(&test.images.shape()[1..], [1, 28, 28]);
/// assert_eq!(test.labels.shape(), [test.len()]);
/// # Ok::<(), d2l::FileError>(())
/// ```
pub fn fashion_mnist(split: Split) -> Result<Images, FileError> {
    let folder = std::env::var_os("D2L_DATA").map(PathBuf::from);
    fashion_from(split, folder)
}

fn fashion_from(split: Split, folder: Option<PathBuf>) -> Result<Images, FileError> {
    let prefix = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let parts = ["images-idx3-ubyte", "labels-idx1-ubyte"];
    for folder in folder.iter().flat_map(|f| [f.clone(), f.join("fashion-mnist")]) {
        // As the original is distributed, or unpacked.
        for ending in [".gz", ""] {
            let paths = parts.map(|part| folder.join(format!("{prefix}-{part}{ending}")));
            if paths.iter().all(|path| path.is_file()) {
                let [images, labels] =
                    [read_idx_file(&paths[0])?, read_idx_file(&paths[1])?];
                let source = format!("the whole set in {}", folder.display());
                return pair(images, labels, "Fashion-MNIST", source);
            }
        }
    }
    let [(name, images), (label_name, labels)] = match split {
        Split::Train => [
            embedded!("fashion5k-images-idx3-ubyte.gz"),
            embedded!("fashion5k-labels-idx1-ubyte.gz"),
        ],
        Split::Test => [
            embedded!("fashion1k-test-images-idx3-ubyte.gz"),
            embedded!("fashion1k-test-labels-idx1-ubyte.gz"),
        ],
    };
    let source = match &folder {
        Some(folder) => {
            format!("the sample in the library ({} has no whole set)", folder.display())
        }
        None => {
            "the sample in the library (D2L_DATA can name a folder with the whole set)"
                .to_owned()
        }
    };
    let (images, labels) = (read_idx(name, images)?, read_idx(label_name, labels)?);
    pair(images, labels, "Fashion-MNIST", source)
}

fn pair(
    images: Tensor,
    labels: Tensor,
    set: &str,
    source: String,
) -> Result<Images, FileError> {
    let fits = images.ndim() == 3
        && labels.ndim() == 1
        && images.dtype() == DType::U8
        && images.len_of(0) == labels.len_of(0);
    if !fits {
        let problem = format!(
            "images of shape {:?} with labels of shape {:?}",
            images.shape(),
            labels.shape()
        );
        return Err(FileError::format(set, problem));
    }
    let source = format!("{set}, {} images: {source}", labels.numel());
    let images = images.to_dtype(DType::F32) / 255.0;
    Ok(Images {
        images: images.unsqueeze(1),
        labels: labels.to_dtype(DType::I64),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_as_many_images_of_every_class() {
        for (split, each) in [(Split::Train, 500), (Split::Test, 100)] {
            let set = fashion_from(split, None).unwrap();
            assert_eq!(set.images.shape(), [10 * each, 1, 28, 28]);
            assert!(set.images.min().item() == 0.0 && set.images.max().item() == 1.0);
            for class in 0..10 {
                let found = set.labels.eq(class).to_dtype(DType::I64).sum().item();
                assert_eq!(found as usize, each);
            }
            assert!(set.source.contains("sample in the library"), "{}", set.source);
        }
    }

    #[test]
    fn a_folder_without_the_set_is_named() {
        let folder = std::env::temp_dir().join("no such folder of data");
        let set = fashion_from(Split::Test, Some(folder)).unwrap();
        assert!(set.source.contains("no such folder of data has no whole set"));
    }
}
