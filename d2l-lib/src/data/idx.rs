//! IDX files: how MNIST and Fashion-MNIST are stored.
//!
//! Two zeros, a byte for the type, one for the number of axes, their lengths as big-endian
//! `u32`, the elements, big-endian. The file may be gzipped.

use std::{io::Read, path::Path};

use crate::{
    Element, FileError, Shape, Tensor,
    shape::{MAX_NDIM, is_addressable},
};

/// No more elements than this are read: far above any data set that fits into memory.
const MAX_BYTES: usize = 1 << 33;

/// The tensor in an IDX file, plain or gzipped, in the shape that the file says: `u8` for bytes,
/// else `i64`, `f32` or `f64`.
///
/// # Errors
/// If the file cannot be read, is cut short, or is no IDX file.
///
/// ```
/// let path = std::env::temp_dir().join("d2l-doc.idx");
/// std::fs::write(&path, [0, 0, 8, 1, 0, 0, 0, 2, 7, 9]).unwrap();
/// assert_eq!(d2l::data::read_idx_file(&path)?.to_vec_u8(), [7, 9]);
/// assert!(d2l::data::read_idx_file("no such file").is_err());
/// # Ok::<(), d2l::FileError>(())
/// ```
pub fn read_idx_file(path: impl AsRef<Path>) -> Result<Tensor, FileError> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(FileError::io(path))?;
    read_idx(&path.display().to_string(), &bytes)
}

/// The tensor in the bytes of an IDX file, plain or gzipped, in the shape that they say; `name`
/// is for the messages.
///
/// # Errors
/// If the bytes are cut short or no IDX file.
///
/// ```
/// use d2l::data::read_idx;
///
/// let bytes = [0, 0, 8, 1, 0, 0, 0, 2, 7, 9];
/// assert_eq!(read_idx("two bytes", &bytes)?.to_vec_u8(), [7, 9]);
/// assert!(read_idx("two bytes", &bytes[..9]).is_err());
/// # Ok::<(), d2l::FileError>(())
/// ```
pub fn read_idx(name: &str, bytes: &[u8]) -> Result<Tensor, FileError> {
    let wrong = |problem: String| FileError::format(name, problem);
    let mut stream: Box<dyn Read + '_> = if bytes.starts_with(&[0x1F, 0x8B]) {
        Box::new(flate2::read::MultiGzDecoder::new(bytes))
    } else {
        Box::new(bytes)
    };
    let mut head = [0; 4];
    let short = |_| wrong("the file is cut short, or its compression is broken".into());
    stream.read_exact(&mut head).map_err(short)?;
    let [0, 0, kind, ndim] = head else {
        return Err(wrong(format!("an IDX file starts with 00 00, not {head:02x?}")));
    };
    let size = match kind {
        0x08 | 0x09 => 1,
        0x0B => 2,
        0x0C | 0x0D => 4,
        0x0E => 8,
        _ => return Err(wrong(format!("IDX has no type {kind:#04x}"))),
    };
    if usize::from(ndim) > MAX_NDIM {
        return Err(wrong(format!("{ndim} axes are more than a tensor can have")));
    }
    let mut shape = Vec::new();
    for _ in 0..ndim {
        let mut length = [0; 4];
        stream.read_exact(&mut length).map_err(short)?;
        shape.push(u32::from_be_bytes(length) as usize);
    }
    let count = shape.iter().fold(size, |all: usize, &n| all.saturating_mul(n));
    if count > MAX_BYTES || !is_addressable(&shape) {
        return Err(wrong(format!("a shape of {shape:?} is larger than any memory")));
    }
    // Grows with what is really there, so a header that lies costs nothing.
    let mut data = Vec::new();
    stream.take(count as u64).read_to_end(&mut data).map_err(|e| wrong(e.to_string()))?;
    if data.len() != count {
        let found = data.len();
        return Err(wrong(format!(
            "a shape of {shape:?} needs {count} bytes, and there are {found}"
        )));
    }
    let shape = Shape::new(&shape);
    Ok(match kind {
        0x08 => Tensor::new(data, shape),
        0x09 => whole(&data, shape, |[byte]: [u8; 1]| i64::from(byte as i8)),
        0x0B => whole(&data, shape, |bytes| i64::from(i16::from_be_bytes(bytes))),
        0x0C => whole(&data, shape, |bytes| i64::from(i32::from_be_bytes(bytes))),
        0x0D => whole(&data, shape, f32::from_be_bytes),
        _ => whole(&data, shape, f64::from_be_bytes),
    })
}

fn whole<T: Element, const N: usize>(
    data: &[u8],
    shape: Shape,
    read: impl Fn([u8; N]) -> T,
) -> Tensor {
    let (numbers, _) = data.as_chunks::<N>();
    Tensor::new(numbers.iter().map(|&bytes| read(bytes)).collect(), shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn numbers_of_every_type_are_read() {
        let of = |kind: u8, data: &[u8]| {
            read_idx("test", &[&[0, 0, kind, 1, 0, 0, 0, 2], data].concat()).unwrap()
        };
        assert_eq!(of(8, &[7, 255]).to_vec_i64(), [7, 255]);
        assert_eq!(of(8, &[7, 255]).dtype(), DType::U8);
        assert_eq!(of(9, &[7, 255]).to_vec_i64(), [7, -1]);
        assert_eq!(of(11, &[1, 0, 255, 254]).to_vec_i64(), [256, -2]);
        assert_eq!(of(12, &[0, 0, 1, 0, 255, 255, 255, 254]).to_vec_i64(), [256, -2]);
        let floats = [1.5_f32.to_be_bytes(), (-2.0_f32).to_be_bytes()].concat();
        assert_eq!(of(13, &floats).to_vec(), [1.5, -2.0]);
        let floats = [1.5_f64.to_be_bytes(), (-2.0_f64).to_be_bytes()].concat();
        assert_eq!(of(14, &floats).dtype(), DType::F64);
    }

    #[test]
    fn files_cut_short_or_hostile_are_refused() {
        let good = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4];
        assert!(read_idx("test", &good).is_ok());
        for length in 0..good.len() {
            assert!(read_idx("test", &good[..length]).is_err(), "{length}");
        }
        let huge =
            [0, 0, 8, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255];
        let huge = [&huge[..], &[255; 4]].concat();
        let error = read_idx("test", &huge).unwrap_err().to_string();
        assert!(error.starts_with("test: a shape of [4294967295"), "{error}");
        let empty = [&[0, 0, 8, 3, 0, 0, 0, 0][..], &[255; 8]].concat();
        let error = read_idx("test", &empty).unwrap_err().to_string();
        assert!(error.ends_with("is larger than any memory"), "{error}");
        let large = [0, 0, 14, 1, 15, 255, 255, 255, 0];
        let error = read_idx("test", &large).unwrap_err().to_string();
        assert!(error.ends_with("and there are 1"), "{error}");
        assert!(read_idx("test", &[0, 0, 8, 9]).is_err());
        assert!(read_idx("test", &[0x1F, 0x8B, 8, 0, 1]).is_err());
        assert!(read_idx("test", b"GIF89a").is_err());
    }
}
