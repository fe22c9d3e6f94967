//! Copies from one GPU to another, which neither main memory nor the program waits for.

use std::ops::Range;

use super::{array::Array, driver::Failure, error::CudaError, gpu::Gpu, recording};

impl Gpu {
    /// Elements of an array that is on another GPU, in one here; nothing where one of them cannot
    /// copy from the other.
    pub(crate) fn bring(
        &'static self,
        operation: &'static str,
        from: &Array,
        elements: Range<usize>,
    ) -> Result<Option<Array>, CudaError> {
        let other = from.gpu;
        let Some(peer) = other.driver.peer() else { return Ok(None) };
        recording::hinder("it works on several GPUs");
        let to = self.array(operation, from.dtype(), elements.len())?;
        if elements.is_empty() {
            return Ok(Some(to));
        }
        from.compute()?;
        let at = from.address_of(elements.start);
        let queue = || {
            // After what makes the elements, and before what uses their memory for others.
            self.driver.wait_for(&other.driver.mark()?)?;
            let is_queued = self.driver.copy_from(peer, at, to.address(), to.bytes())?;
            if is_queued {
                let told = self.driver.mark().and_then(|m| other.driver.wait_for(&m));
                told.or_else(|failure: Failure| {
                    self.driver.synchronize()?;
                    Err(failure)
                })?;
            }
            Ok(is_queued)
        };
        let is_queued = self.told(operation, queue())?;
        Ok(is_queued.then_some(to))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        device::cuda::mock::{Journal, Mock},
        dtype::DType,
    };

    fn mocked(name: &'static str, journal: &Journal) -> (&'static Gpu, Arc<Mock>) {
        let mut mock = Mock::with_memory(1 << 20);
        mock.journal = Some((name, journal.clone()));
        let mock = Arc::new(mock);
        (Box::leak(Box::new(Gpu::new(3, mock.clone()))), mock)
    }

    #[test]
    fn a_copy_waits_for_its_elements_and_their_memory_for_the_copy() {
        let journal = Journal::default();
        let ((from, _), (to, _)) = (mocked("from", &journal), mocked("to", &journal));
        let array = from.upload("to_device", DType::U8, &[1, 2, 3]).unwrap();
        journal.lock().unwrap().clear();
        let copied = to.bring("to_device", &array, 1..3).unwrap().expect("both can");
        assert_eq!((copied.length(), copied.gpu.index()), (2, to.index()));
        let asked = journal.lock().unwrap().clone();
        let asked: Vec<_> = asked.into_iter().filter(|ask| ask.1 != "allocate").collect();
        let expected = [
            ("from", "mark"),
            ("to", "wait_for"),
            ("to", "copy_from"),
            ("to", "mark"),
            ("from", "wait_for"),
        ];
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_copy_that_fails_says_so_and_leaves_nothing() {
        let journal = Journal::default();
        let ((from, other), (to, mock)) =
            (mocked("from", &journal), mocked("to", &journal));
        let array = from.upload("to_device", DType::U8, &[1, 2, 3]).unwrap();
        let lost = || Failure::Other("CUDA_ERROR_DEVICE_UNAVAILABLE".to_owned());
        for (mock, call) in
            [(&other, "mark"), (&mock, "wait_for"), (&mock, "copy_from"), (&mock, "mark")]
        {
            mock.fail(call, lost());
            let error = to.bring("to_device", &array, 0..3).err().expect("it fails");
            assert!(
                error.to_string().starts_with("to_device failed on cuda:3"),
                "{error}"
            );
            assert_eq!(to.figures().in_use, 0);
        }
        assert_eq!(mock.synchronizations.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}
