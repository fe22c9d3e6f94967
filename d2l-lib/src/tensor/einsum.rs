//! Sums of products over named axes.

use super::Tensor;

impl Tensor {
    /// Einstein's summation: `Tensor::einsum("bij,bjk->bik", &[&a, &b])`.
    ///
    /// Each operand's axes have letters. Elements whose letters agree are multiplied, and
    /// letters that are not right of the arrow are summed over. The result's axes are those of
    /// the letters right of the arrow, in their order.
    ///
    /// # Panics
    /// If the formula has no arrow or not as many operands as are given, letters and axes differ
    /// in number, a letter stands for axes of different lengths, is named twice in one operand
    /// or right of the arrow, or stands only there.
    ///
    /// ```
    /// use d2l::prelude::*;
    ///
    /// let a = Tensor::arange(0.0..6.0).reshape([2, 3]);
    /// assert!(Tensor::einsum("ij,kj->ik", &[&a, &a]).equal(&a.matmul(&a.t())));
    /// assert!(Tensor::einsum("ij->ji", &[&a]).equal(&a.t()));
    /// assert_eq!(Tensor::einsum("ij->", &[&a]).item(), 15.0);
    /// ```
    #[track_caller]
    pub fn einsum(formula: &str, operands: &[&Tensor]) -> Tensor {
        let formula: String = formula.chars().filter(|c| !c.is_whitespace()).collect();
        let Some((inputs, output)) = formula.split_once("->") else {
            panic!("einsum: the formula {formula:?} has no arrow `->`")
        };
        let inputs: Vec<Vec<char>> =
            inputs.split(',').map(|letters| letters.chars().collect()).collect();
        let output: Vec<char> = output.chars().collect();
        assert!(
            inputs.len() == operands.len(),
            "einsum: {formula:?} has {} operands, and {} are given",
            inputs.len(),
            operands.len()
        );
        for letters in inputs.iter().chain([&output]) {
            for (i, letter) in letters.iter().enumerate() {
                assert!(
                    letter.is_alphabetic() && !letters[..i].contains(letter),
                    "einsum: {letter:?} in {formula:?} must be a letter named once"
                );
            }
        }
        let mut terms: Vec<Term> = Vec::new();
        for (letters, tensor) in inputs.into_iter().zip(operands) {
            assert!(
                letters.len() == tensor.ndim(),
                "einsum: {} letters in {formula:?} for shape {:?}",
                letters.len(),
                tensor.shape()
            );
            for (letter, &length) in letters.iter().zip(tensor.shape()) {
                let other = terms.iter().find_map(|term| term.length(*letter));
                assert!(
                    other.is_none_or(|other| other == length),
                    "einsum: {letter:?} in {formula:?} stands for lengths {} and {length}",
                    other.unwrap_or(0)
                );
            }
            terms.push(Term { letters, tensor: (*tensor).clone() });
        }
        let known = |letter| terms.iter().any(|term| term.letters.contains(letter));
        if let Some(letter) = output.iter().find(|letter| !known(letter)) {
            panic!(
                "einsum: {letter:?} right of the arrow of {formula:?} is in no operand"
            );
        }

        let mut terms = terms.into_iter();
        let mut product = terms.next().expect("splitting gives at least one part");
        while let Some(next) = terms.next() {
            let mut needed = output.clone();
            needed.extend(terms.as_slice().iter().flat_map(|term| &term.letters));
            product = product.times(next, &needed);
        }
        product.summed(|letter| output.contains(&letter)).ordered(&output)
    }
}

/// A tensor with a letter for each axis.
struct Term {
    letters: Vec<char>,
    tensor: Tensor,
}

impl Term {
    fn length(&self, letter: char) -> Option<usize> {
        let axis = self.letters.iter().position(|own| *own == letter)?;
        Some(self.tensor.shape()[axis])
    }

    /// Summed over the axes whose letters are not to be kept.
    fn summed(self, keep: impl Fn(char) -> bool) -> Term {
        let (kept, gone): (Vec<usize>, Vec<usize>) =
            (0..self.letters.len()).partition(|&axis| keep(self.letters[axis]));
        if gone.is_empty() {
            return self;
        }
        let letters = kept.iter().map(|&axis| self.letters[axis]).collect();
        Term { letters, tensor: self.tensor.sum_axis(gone) }
    }

    fn ordered(&self, letters: &[char]) -> Tensor {
        let axis = |letter| self.letters.iter().position(|own| own == letter);
        let order: Vec<usize> = letters.iter().filter_map(axis).collect();
        self.tensor.permute(order)
    }

    /// The product of matrices that sums over the letters of both that are not needed.
    fn times(self, other: Term, needed: &[char]) -> Term {
        let a = self.summed(|c| needed.contains(&c) || other.letters.contains(&c));
        let b = other.summed(|c| needed.contains(&c) || a.letters.contains(&c));
        let of = |term: &Term, test: &dyn Fn(&char) -> bool| -> Vec<char> {
            term.letters.iter().copied().filter(|c| test(c)).collect()
        };
        let batch = of(&a, &|c| b.letters.contains(c) && needed.contains(c));
        let inner = of(&a, &|c| b.letters.contains(c) && !needed.contains(c));
        let rows = of(&a, &|c| !b.letters.contains(c));
        let columns = of(&b, &|c| !a.letters.contains(c));
        let lengths = |letters: &[char]| -> Vec<usize> {
            letters.iter().filter_map(|&c| a.length(c).or(b.length(c))).collect()
        };
        let size = |letters: &[char]| lengths(letters).iter().product::<usize>();
        let left = a.ordered(&[&batch[..], &rows, &inner].concat());
        let left = left.reshape([size(&batch), size(&rows), size(&inner)]);
        let right = b.ordered(&[&batch[..], &inner, &columns].concat());
        let right = right.reshape([size(&batch), size(&inner), size(&columns)]);
        let letters = [batch, rows, columns].concat();
        let tensor = left.matmul(&right).reshape(lengths(&letters));
        Term { letters, tensor }
    }
}
