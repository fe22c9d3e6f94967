//! Tensors in files: one as NumPy's `.npy`, several with names as safetensors.
//!
//! A file is read as a whole; what its header claims is checked against what is there before
//! any memory is asked for, so a damaged or hostile file costs no more than its own length.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use serde_json::{Map, Value as Json, json};

use super::Tensor;
use crate::{
    dtype::{DType, Element},
    shape::{MAX_NDIM, Shape, is_addressable},
};

/// Why a file could not be read or written.
///
/// ```
/// use d2l::prelude::*;
///
/// let error = Tensor::load("no such file.npy").unwrap_err();
/// assert!(error.to_string().contains("no such file.npy"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else than it should.
    #[error("{name}: {problem}")]
    Format {
        /// The file, or what stands for it.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

impl FileError {
    pub(crate) fn format(name: &str, problem: impl Into<String>) -> FileError {
        FileError::Format { name: name.to_owned(), problem: problem.into() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> FileError {
        let path = path.to_owned();
        move |source| FileError::Io { path, source }
    }
}

/// Writes beside the file and renames, so that nobody finds half of it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    fs::write(&beside, bytes)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(FileError::io(path))
}

impl Tensor {
    /// Writes the tensor as a `.npy` file, which `numpy.load` reads.
    ///
    /// # Errors
    /// If the file cannot be written, or the elements are `bf16`, which NumPy does not have.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let path = std::env::temp_dir().join("d2l-doc.npy");
    /// let x = tensor([[1.0, 2.0], [3.0, 4.0]]);
    /// x.save(&path)?;
    /// assert!(Tensor::load(&path)?.equal(&x));
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        save(self, path.as_ref())
    }

    /// The tensor in a `.npy` file, in its shape and type; signed integers of fewer than 64 bits
    /// become `i64`.
    ///
    /// # Errors
    /// If the file cannot be read, is cut short, or holds something else.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let path = std::env::temp_dir().join("d2l-doc-load.npy");
    /// tensor([1.0, 2.0]).save(&path)?;
    /// assert_eq!(Tensor::load(&path)?.to_vec(), [1.0, 2.0]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn load(path: impl AsRef<Path>) -> Result<Tensor, FileError> {
        load(path.as_ref())
    }

    /// Writes tensors with names, of any shapes and types, as a safetensors file.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let path = std::env::temp_dir().join("d2l-doc.safetensors");
    /// let (x, y) = (tensor([1.0, 2.0]), tensor([[3], [4]]));
    /// Tensor::save_named(&path, &[("x", &x), ("y", &y)])?;
    /// assert!(Tensor::load_named(&path)?["y"].equal(&y));
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn save_named(
        path: impl AsRef<Path>,
        tensors: &[(&str, &Tensor)],
    ) -> Result<(), FileError> {
        write(path.as_ref(), &to_safetensors(tensors))
    }

    /// The tensors in a safetensors file, by name, in their shapes and types; signed integers of
    /// fewer than 64 bits become `i64`.
    ///
    /// # Errors
    /// If the file cannot be read, is cut short, or holds something else.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let path = std::env::temp_dir().join("d2l-doc-load.safetensors");
    /// Tensor::save_named(&path, &[("x", &tensor([1.0, 2.0]))])?;
    /// assert_eq!(Tensor::load_named(&path)?["x"].to_vec(), [1.0, 2.0]);
    /// # Ok::<(), d2l::FileError>(())
    /// ```
    pub fn load_named(
        path: impl AsRef<Path>,
    ) -> Result<BTreeMap<String, Tensor>, FileError> {
        load_named(path.as_ref())
    }
}

fn save(x: &Tensor, path: &Path) -> Result<(), FileError> {
    let wrong = |problem| FileError::format(&path.display().to_string(), problem);
    write(path, &to_npy(x).map_err(wrong)?)
}

/// What `parse` finds in the bytes of a file.
fn read<T>(path: &Path, parse: fn(&[u8]) -> Result<T, String>) -> Result<T, FileError> {
    let bytes = fs::read(path).map_err(FileError::io(path))?;
    parse(&bytes)
        .map_err(|problem| FileError::format(&path.display().to_string(), problem))
}

fn load(path: &Path) -> Result<Tensor, FileError> {
    read(path, from_npy)
}

fn load_named(path: &Path) -> Result<BTreeMap<String, Tensor>, FileError> {
    read(path, from_safetensors)
}

/// The elements, row after row, little-endian.
fn to_bytes(x: &Tensor) -> Vec<u8> {
    fn bytes<T: Element, const N: usize>(
        x: &Tensor,
        f: impl Fn(T) -> [u8; N],
    ) -> Vec<u8> {
        x.to_vec_of::<T>().into_iter().flat_map(f).collect()
    }
    match x.dtype() {
        DType::Bool => bytes(x, |value: bool| [value.into()]),
        DType::U8 => x.to_vec_of(),
        DType::I64 => bytes(x, i64::to_le_bytes),
        DType::F16 => bytes(x, f16::to_le_bytes),
        DType::BF16 => bytes(x, bf16::to_le_bytes),
        DType::F32 => bytes(x, f32::to_le_bytes),
        DType::F64 => bytes(x, f64::to_le_bytes),
    }
}

/// How elements are stored in files, by the names of safetensors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stored {
    Bool,
    U8,
    I8,
    I16,
    I32,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Stored {
    const NAMES: [(&'static str, &'static str, Stored); 10] = [
        ("BOOL", "|b1", Stored::Bool),
        ("U8", "|u1", Stored::U8),
        ("I8", "|i1", Stored::I8),
        ("I16", "<i2", Stored::I16),
        ("I32", "<i4", Stored::I32),
        ("I64", "<i8", Stored::I64),
        ("F16", "<f2", Stored::F16),
        ("BF16", "", Stored::Bf16),
        ("F32", "<f4", Stored::F32),
        ("F64", "<f8", Stored::F64),
    ];

    fn of(dtype: DType) -> Stored {
        match dtype {
            DType::Bool => Stored::Bool,
            DType::U8 => Stored::U8,
            DType::I64 => Stored::I64,
            DType::F16 => Stored::F16,
            DType::BF16 => Stored::Bf16,
            DType::F32 => Stored::F32,
            DType::F64 => Stored::F64,
        }
    }

    fn in_safetensors(self) -> &'static str {
        Stored::NAMES.iter().find(|(_, _, own)| *own == self).map_or("", |names| names.0)
    }

    fn in_npy(self) -> &'static str {
        Stored::NAMES.iter().find(|(_, _, own)| *own == self).map_or("", |names| names.1)
    }

    fn size(self) -> usize {
        match self {
            Stored::Bool | Stored::U8 | Stored::I8 => 1,
            Stored::I16 | Stored::F16 | Stored::Bf16 => 2,
            Stored::I32 | Stored::F32 => 4,
            Stored::I64 | Stored::F64 => 8,
        }
    }

    /// The tensor with these bytes, if they are as many as the shape needs.
    fn tensor(self, bytes: &[u8], shape: &[usize]) -> Result<Tensor, String> {
        fn read<T: Element, const N: usize>(
            bytes: &[u8],
            shape: Shape,
            f: impl Fn([u8; N]) -> T,
        ) -> Tensor {
            let (numbers, _) = bytes.as_chunks::<N>();
            Tensor::new(numbers.iter().map(|&number| f(number)).collect(), shape)
        }
        if shape.len() > MAX_NDIM {
            return Err(format!("{} axes are more than a tensor can have", shape.len()));
        }
        let needed = shape.iter().fold(self.size(), |all, &n| all.saturating_mul(n));
        if needed != bytes.len() || !is_addressable(shape) {
            let found = bytes.len();
            return Err(format!(
                "shape {shape:?} of {} does not fit {found} bytes",
                self.in_safetensors()
            ));
        }
        let shape = Shape::new(shape);
        Ok(match self {
            Stored::Bool => read(bytes, shape, |[byte]: [u8; 1]| byte != 0),
            Stored::U8 => read(bytes, shape, |[byte]: [u8; 1]| byte),
            Stored::I8 => read(bytes, shape, |[byte]: [u8; 1]| i64::from(byte as i8)),
            Stored::I16 => read(bytes, shape, |b| i64::from(i16::from_le_bytes(b))),
            Stored::I32 => read(bytes, shape, |b| i64::from(i32::from_le_bytes(b))),
            Stored::I64 => read(bytes, shape, i64::from_le_bytes),
            Stored::F16 => read(bytes, shape, f16::from_le_bytes),
            Stored::Bf16 => read(bytes, shape, bf16::from_le_bytes),
            Stored::F32 => read(bytes, shape, f32::from_le_bytes),
            Stored::F64 => read(bytes, shape, f64::from_le_bytes),
        })
    }
}

fn to_npy(x: &Tensor) -> Result<Vec<u8>, String> {
    if x.dtype() == DType::BF16 {
        return Err(
            "NumPy has no type for bf16: convert to f32, or save_named".to_owned()
        );
    }
    let shape: String = x.shape().iter().map(|n| format!("{n}, ")).collect();
    let kind = Stored::of(x.dtype()).in_npy();
    let mut header =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The elements start at a multiple of 64.
    let padding = 63 - (10 + header.len()) % 64;
    header += &" ".repeat(padding);
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    Ok([b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &to_bytes(x)].concat())
}

fn from_npy(bytes: &[u8]) -> Result<Tensor, String> {
    let short = || "the file is cut short".to_owned();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("this is no .npy file")?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(short)?;
    let width = if version[0] == 1 { 2 } else { 4 };
    let (length, rest) = rest.split_at_checked(width).ok_or_else(short)?;
    let length = length.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
    let (header, data) = rest.split_at_checked(length).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|error| error.to_string())?;

    // A Python dictionary; NumPy writes its keys in single quotes.
    let after = |key: &str| {
        let (_, value) = header.split_once(&format!("'{key}':"))?;
        Some(value.trim_start())
    };
    let missing = || format!("the header {:?} misses an entry", header.trim_end());
    let kind = after("descr").and_then(|value| value.strip_prefix('\''));
    let (kind, _) = kind.and_then(|value| value.split_once('\'')).ok_or_else(missing)?;
    let stored = Stored::NAMES.iter().find(|(_, npy, _)| !npy.is_empty() && *npy == kind);
    let (_, _, stored) =
        stored.ok_or_else(|| format!("elements of type {kind:?} cannot be read"))?;
    let by_columns = after("fortran_order").ok_or_else(missing)?.starts_with("True");
    let shape = after("shape").and_then(|value| value.strip_prefix('('));
    let (shape, _) = shape.and_then(|value| value.split_once(')')).ok_or_else(missing)?;
    let mut lengths = Vec::new();
    for length in shape.split(',').map(str::trim).filter(|length| !length.is_empty()) {
        lengths.push(length.parse().map_err(|_| format!("{length:?} is no length"))?);
    }
    if by_columns {
        lengths.reverse();
        let order: Vec<usize> = (0..lengths.len()).rev().collect();
        return Ok(stored.tensor(data, &lengths)?.permute(order).contiguous());
    }
    stored.tensor(data, &lengths)
}

fn to_safetensors(tensors: &[(&str, &Tensor)]) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for (name, x) in tensors {
        let start = data.len();
        data.extend(to_bytes(x));
        let entry = json!({
            "dtype": Stored::of(x.dtype()).in_safetensors(),
            "shape": x.shape(),
            "data_offsets": [start, data.len()],
        });
        header.insert((*name).to_owned(), entry);
    }
    let mut header = Json::Object(header).to_string();
    // The elements start at a multiple of 8.
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &data].concat()
}

fn from_safetensors(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let short = "the file is cut short, or this is no safetensors file";
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or(short)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short)?;
    let (header, data) = rest.split_at_checked(length).ok_or(short)?;
    let header: Map<String, Json> =
        serde_json::from_slice(header).map_err(|error| format!("the header: {error}"))?;

    let mut tensors = BTreeMap::new();
    for (name, entry) in header.into_iter().filter(|(name, _)| name != "__metadata__") {
        let wrong = |what: &str| format!("tensor {name:?}: {what}");
        let numbers = |key: &str| -> Option<Vec<usize>> {
            let numbers = entry.get(key)?.as_array()?.iter();
            numbers.map(|n| usize::try_from(n.as_u64()?).ok()).collect()
        };
        let kind = entry.get("dtype").and_then(Json::as_str).unwrap_or_default();
        let stored = Stored::NAMES.iter().find(|(own, _, _)| *own == kind);
        let (_, _, stored) = stored.ok_or_else(|| wrong(&format!("no type {kind:?}")))?;
        let shape = numbers("shape").ok_or_else(|| wrong("no shape"))?;
        let Some([start, end]) = numbers("data_offsets")
            .as_deref()
            .map(<[usize]>::to_vec)
            .and_then(|offsets| <[usize; 2]>::try_from(offsets).ok())
        else {
            return Err(wrong("no offsets"));
        };
        let own = data.get(start..end).ok_or_else(|| wrong("lies outside the file"))?;
        let tensor = stored.tensor(own, &shape).map_err(|what| wrong(&what))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    fn examples() -> Vec<Tensor> {
        vec![
            tensor([[1.5, -2.0, f32::NAN], [f32::INFINITY, 0.0, 1e-40]]),
            tensor([[1, -2], [i64::MAX, 0]]).t(),
            tensor_f64(0.1),
            tensor([true, false]),
            tensor([7_u8, 255]),
            tensor([1.0, -2.5, f32::NAN, f32::INFINITY, 1e-7]).to_dtype(DType::F16),
            Tensor::zeros([0, 3]),
        ]
    }

    fn same(a: &Tensor, b: &Tensor) -> bool {
        (a.shape(), a.dtype()) == (b.shape(), b.dtype()) && to_bytes(a) == to_bytes(b)
    }

    #[test]
    fn what_is_saved_comes_back() {
        for x in examples() {
            assert!(same(&from_npy(&to_npy(&x).unwrap()).unwrap(), &x), "{x}");
        }
        let brain = tensor([[1.0, -2.5], [f32::NAN, 1e38]]).to_dtype(DType::BF16);
        let examples = [examples(), vec![brain]].concat();
        let names: Vec<String> =
            (0..examples.len()).map(|i| format!("\"{i}\"")).collect();
        let named: Vec<(&str, &Tensor)> =
            names.iter().map(String::as_str).zip(&examples).collect();
        let loaded = from_safetensors(&to_safetensors(&named)).unwrap();
        assert_eq!(loaded.len(), examples.len());
        assert!(named.iter().all(|(name, x)| same(&loaded[*name], x)));
    }

    #[test]
    fn files_of_numpy_and_safetensors_are_read() {
        let npy = include_bytes!("../../tests/fixtures/columns.npy");
        let expected = Tensor::arange(0..6).reshape([2, 3]);
        assert!(from_npy(npy).unwrap().equal(&expected));
        let saved = include_bytes!("../../tests/fixtures/halves.safetensors");
        let loaded = from_safetensors(saved).unwrap();
        let expected = [1.0, -2.5, 65504.0, f32::INFINITY, 5.9604645e-8, 0.0];
        assert_eq!(loaded["half"].to_vec(), expected);
        assert_eq!(loaded["brain"].to_vec(), [1.0, -2.5, 3.0]);
        let dtypes = ["half", "brain"].map(|name| loaded[name].dtype());
        assert_eq!(dtypes, [DType::F16, DType::BF16]);
        assert_eq!(loaded["short"].to_vec_i64(), [-3, 300]);
    }

    #[test]
    fn files_cut_short_are_refused() {
        let x = tensor([1.0, 2.0, 3.0]);
        let npy = to_npy(&x).unwrap();
        for length in 0..npy.len() {
            assert!(from_npy(&npy[..length]).is_err(), "{length}");
        }
        let saved = to_safetensors(&[("x", &x)]);
        for length in 0..saved.len() {
            assert!(from_safetensors(&saved[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn bf16_is_refused_where_there_is_no_name_for_it() {
        let x = Tensor::ones(2).to_dtype(DType::BF16);
        let path = std::env::temp_dir().join("d2l-test-bf16.npy");
        let error = x.save(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("NumPy has no type for bf16: convert to f32, or save_named")
        );
        assert!(!path.exists());
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let file = |header: &str| {
            let length = (header.len() as u64).to_le_bytes();
            from_safetensors(&[&length[..], header.as_bytes(), &[0; 8]].concat())
                .unwrap_err()
        };
        let huge = r#"{"x":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#;
        assert!(file(huge).contains("does not fit 8 bytes"), "{}", file(huge));
        let empty = r#"{"x":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}"#;
        assert!(file(empty).contains("does not fit 0 bytes"), "{}", file(empty));
        let outside = r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}"#;
        assert!(file(outside).contains("lies outside"));
        let backwards = r#"{"x":{"dtype":"F32","shape":[0],"data_offsets":[8,0]}}"#;
        assert!(file(backwards).contains("lies outside"));
        let axes =
            r#"{"x":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}"#;
        assert!(file(axes).contains("9 axes"));
        assert!(from_safetensors(&[255; 16]).is_err());
        let npy = "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }";
        let npy =
            [b"\x93NUMPY\x01\x00", &[npy.len() as u8, 0][..], npy.as_bytes()].concat();
        assert!(from_npy(&npy).unwrap_err().contains("is no length"));
    }
}
