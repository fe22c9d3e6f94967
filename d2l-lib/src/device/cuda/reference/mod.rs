//! Products, convolutions and recurrent layers by plain loops: what an emulated GPU has instead of
//! libraries.

pub(super) mod recurrence;

use half::{bf16, f16};

use super::{
    blas::{Along, Factor, Operands, Product},
    dnn::{Convolution, Pass, Sides},
    driver::Address,
};
use crate::dtype::{DType, Element};

/// A type whose products are added in `f64`, and the sum rounded once: libraries add in an order
/// that loses fewer digits than one after the other.
trait Term: Element {
    fn wide(self, tf32: bool) -> f64;

    fn rounded(total: f64) -> Self;
}

impl Term for f64 {
    fn wide(self, _: bool) -> f64 {
        self
    }

    fn rounded(total: f64) -> f64 {
        total
    }
}

impl Term for f32 {
    fn wide(self, tf32: bool) -> f64 {
        let is_rounded = tf32 && self.is_finite();
        // To the nearest number whose last 13 bits are 0.
        let rounded = f32::from_bits((self.to_bits().wrapping_add(0x1000)) & !0x1fff);
        f64::from(if is_rounded { rounded } else { self })
    }

    fn rounded(total: f64) -> f32 {
        total as f32
    }
}

macro_rules! halves {
    ($($half:ty)*) => {$(
        impl Term for $half {
            fn wide(self, _: bool) -> f64 {
                self.to_f64()
            }

            // By way of `f32`, in which libraries add.
            fn rounded(total: f64) -> $half {
                <$half>::from_f32(total as f32)
            }
        }
    )*};
}
halves!(f16 bf16);

macro_rules! with_term {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::F16 => {
                type $T = f16;
                $body
            }
            DType::BF16 => {
                type $T = bf16;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            DType::Bool | DType::U8 | DType::I64 => return false,
        }
    };
}
use with_term;

/// # Safety
/// There must be so many elements, with which nothing else happens meanwhile.
unsafe fn elements<'a, T>(at: Address, count: usize) -> &'a mut [T] {
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts_mut(at as *mut T, count) }
}

/// Makes a product; whether it is of floats.
///
/// # Safety
/// The operands must be there, and large enough.
pub(super) unsafe fn multiply(product: &Product, at: &Operands) -> bool {
    with_term!(product.dtype, T => {
        // SAFETY: as the caller says.
        unsafe { product_of::<T>(product, at) }
    });
    true
}

/// # Safety
/// As for [`multiply`].
unsafe fn product_of<T: Term>(product: &Product, at: &Operands) {
    let [m, n, k] = product.sizes;
    let place = |factor: Factor, number: usize, row: usize, column: usize| {
        number * factor.step
            + match factor.along {
                Along::Rows => row * factor.lead + column,
                Along::Columns => column * factor.lead + row,
            }
    };
    let ([left, right], [left_at, right_at]) = (product.factors, at.factors);
    let count = |factor, rows, columns| {
        1 + place(factor, product.count - 1, rows - 1, columns - 1)
    };
    // SAFETY: factors and bias are only read, so it does not matter if they are the same; the
    // caller answers for the rest.
    let (a, b, bias, out) = unsafe {
        (
            &*elements::<T>(left_at, count(left, m, k)),
            &*elements::<T>(right_at, count(right, k, n)),
            product.bias.then(|| &*elements::<T>(at.bias, n)),
            elements::<T>(at.out, product.count * m * n),
        )
    };
    for (place_out, out) in out.iter_mut().enumerate() {
        let (number, row, column) = (place_out / n / m, place_out / n % m, place_out % n);
        let mut total = 0.0_f64;
        for i in 0..k {
            let x = a[place(left, number, row, i)].wide(product.tf32);
            let y = b[place(right, number, i, column)].wide(product.tf32);
            total += x * y;
        }
        if let Some(bias) = bias {
            total += bias[column].wide(false);
        }
        *out = T::rounded(total);
    }
}

/// Makes a convolution; whether it is of floats.
///
/// # Safety
/// All sides must be there, and large enough.
pub(super) unsafe fn convolve(convolution: &Convolution, at: &Sides) -> bool {
    with_term!(convolution.dtype, T => {
        // SAFETY: as the caller says.
        unsafe { convolution_of::<T>(convolution, at) }
    });
    true
}

/// # Safety
/// As for [`convolve`].
unsafe fn convolution_of<T: Term>(convolution: &Convolution, at: &Sides) {
    let Convolution { images, kernels, places, stride, padding, tf32, .. } = *convolution;
    let results = convolution.results();
    let (made_at, made) = match convolution.pass {
        Pass::Forward => (at.results, results),
        Pass::ToImages => (at.images, images),
        Pass::ToKernels => (at.kernels, kernels),
    };
    let mut totals = vec![0.0_f64; made.iter().product()];
    // SAFETY: the caller answers for the sides, the loops below for staying inside of them.
    let read =
        |at: Address, i: usize| unsafe { (at as *const T).add(i).read() }.wide(tf32);
    let [n, c, h, w] = images;
    let [o, _, kh, kw] = kernels;
    let index = |[_, b, c, d]: [usize; 4], i: usize, j: usize, y: usize, x: usize| {
        ((i * b + j) * c + y) * d + x
    };
    let each = [n, o, places[0], places[1], c, kh, kw];
    for number in 0..each.iter().product() {
        let mut rest = number;
        let mut digit = |base: usize| {
            let digit = rest % base;
            rest /= base;
            digit
        };
        let (kx, ky, channel) = (digit(kw), digit(kh), digit(c));
        let (ox, oy, out, i) = (digit(places[1]), digit(places[0]), digit(o), digit(n));
        let inside =
            |place: usize, step: usize, k: usize, padding: usize, length: usize| {
                (place * step + k).checked_sub(padding).filter(|&at| at < length)
            };
        let y = inside(oy, stride[0], ky, padding[0], h);
        let x = inside(ox, stride[1], kx, padding[1], w);
        let (Some(y), Some(x)) = (y, x) else { continue };
        let from = index(images, i, channel, y, x);
        let by = index(kernels, out, channel, ky, kx);
        let to = index(results, i, out, oy, ox);
        let (total, product) = match convolution.pass {
            Pass::Forward => (to, read(at.images, from) * read(at.kernels, by)),
            Pass::ToImages => (from, read(at.results, to) * read(at.kernels, by)),
            Pass::ToKernels => (by, read(at.results, to) * read(at.images, from)),
        };
        totals[total] += product;
    }
    // SAFETY: the caller answers for what is made, which is nobody else's.
    let made = unsafe { elements::<T>(made_at, totals.len()) };
    made.iter_mut().zip(totals).for_each(|(made, total)| *made = T::rounded(total));
}
