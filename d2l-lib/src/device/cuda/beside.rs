//! Arrays whose elements come while the GPU works on something else.
//!
//! An upload beside the queue knows nothing of its order, so it must be told: it begins when all
//! is done that was queued before its memory was asked for, as somebody else had this memory until
//! then; and the queue waits for it before anybody works on the array, or gets its memory.

use super::{array::Array, driver::Mark, error::CudaError, gpu::Gpu, recording};
use crate::dtype::DType;

/// Room for elements that are to come.
pub(crate) struct Room {
    array: Array,
    /// Behind everything that may still use the memory.
    free: Mark,
}

/// An array whose elements are on their way.
pub(crate) struct Arriving {
    /// There until it is handed over.
    array: Option<Array>,
    /// Behind the upload; none if there is nothing to upload.
    there: Option<Mark>,
}

impl Gpu {
    /// Room for elements that [`Room::fill`] sends, from any thread.
    pub(crate) fn room(
        &'static self,
        operation: &'static str,
        dtype: DType,
        length: usize,
    ) -> Result<Room, CudaError> {
        let array = self.array(operation, dtype, length)?;
        let free = self.told(operation, self.driver.mark())?;
        Ok(Room { array, free })
    }
}

impl Room {
    /// Sends the elements, whose bytes are given.
    pub(crate) fn fill(
        self,
        operation: &'static str,
        bytes: &[u8],
    ) -> Result<Arriving, CudaError> {
        let Room { array, free } = self;
        assert!(bytes.len() == array.bytes(), "{operation}: the room has another size");
        let there = if bytes.is_empty() {
            None
        } else {
            let driver = &array.gpu.driver;
            let queued = driver.upload_beside(bytes, array.address(), &free);
            Some(array.gpu.told(operation, queued)?)
        };
        Ok(Arriving { array: Some(array), there })
    }
}

impl Arriving {
    /// The array, for work that is queued from now on.
    pub(crate) fn arrive(mut self, operation: &'static str) -> Result<Array, CudaError> {
        recording::hinder("elements come to the GPU beside it");
        let array = self.array.take().expect("it is taken once, here");
        match wait_for(&array, self.there.take()) {
            Ok(()) => Ok(array),
            Err(failure) => {
                let failed = array.gpu.told(operation, Err(failure));
                // The upload may still write there.
                std::mem::forget(array);
                failed
            }
        }
    }
}

fn wait_for(array: &Array, there: Option<Mark>) -> Result<(), super::driver::Failure> {
    there.map_or(Ok(()), |mark| array.gpu.driver.wait_for(&mark))
}

impl Drop for Arriving {
    /// Whoever gets the memory next works on it after the upload.
    fn drop(&mut self) {
        if let Some(array) = self.array.take()
            && wait_for(&array, self.there.take()).is_err()
        {
            std::mem::forget(array);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::device::cuda::{driver::Failure, mock::Mock};

    fn mocked() -> (&'static Gpu, Arc<Mock>) {
        let mock = Arc::new(Mock::with_memory(1 << 20));
        (Box::leak(Box::new(Gpu::new(3, mock.clone()))), mock)
    }

    fn elements(array: &Array) -> [u8; 3] {
        let mut bytes = [0; 3];
        array.download("to_vec", &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn elements_are_there_for_what_is_queued_after_their_arrival() {
        let (gpu, mock) = mocked();
        let room = gpu.room("to_device", DType::U8, 3).unwrap();
        let arriving = room.fill("to_device", &[1, 2, 3]).unwrap();
        assert_eq!(mock.on_their_way(), 1, "the mock uploads as late as it may");
        let array = arriving.arrive("to_device").unwrap();
        assert_eq!(elements(&array), [1, 2, 3]);
        assert_eq!(mock.on_their_way(), 0);
    }

    #[test]
    fn memory_is_given_on_only_after_the_upload_to_it() {
        let (gpu, mock) = mocked();
        let room = gpu.room("to_device", DType::U8, 3).unwrap();
        let at = room.array.address();
        drop(room.fill("to_device", &[1, 2, 3]).unwrap());
        assert_eq!(mock.on_their_way(), 0);
        let next = gpu.upload("to_device", DType::U8, &[4, 5, 6]).unwrap();
        assert_eq!((next.address(), elements(&next)), (at, [4, 5, 6]));
        drop(next);
        assert_eq!(gpu.figures().in_use, 0);
    }

    #[test]
    fn an_upload_that_fails_says_so_and_leaves_nothing() {
        let (gpu, mock) = mocked();
        let lost = || Failure::Other("CUDA_ERROR_DEVICE_UNAVAILABLE".to_owned());
        mock.fail("mark", lost());
        assert!(gpu.room("to_device", DType::U8, 3).is_err());
        let room = gpu.room("to_device", DType::U8, 3).unwrap();
        mock.fail("upload_beside", lost());
        let error = room.fill("to_device", &[1, 2, 3]).err().expect("it fails");
        assert!(error.to_string().starts_with("to_device failed on cuda:3"), "{error}");
        assert_eq!((gpu.figures().in_use, mock.on_their_way()), (0, 0));
    }

    #[test]
    fn memory_that_may_still_be_written_is_never_given_on() {
        let (gpu, mock) = mocked();
        let room = || gpu.room("to_device", DType::U8, 3).unwrap();
        let lost = || Failure::Other("CUDA_ERROR_DEVICE_UNAVAILABLE".to_owned());
        let arriving = room().fill("to_device", &[1, 2, 3]).unwrap();
        mock.fail("wait_for", lost());
        assert!(arriving.arrive("to_device").is_err());
        let arriving = room().fill("to_device", &[1, 2, 3]).unwrap();
        mock.fail("wait_for", lost());
        drop(arriving);
        assert_eq!(gpu.figures().in_use, 2 * 512);
    }

    #[test]
    fn no_elements_need_no_upload() {
        let (gpu, mock) = mocked();
        mock.fail("upload_beside", Failure::OutOfMemory);
        let arriving =
            gpu.room("to_device", DType::F32, 0).unwrap().fill("to_device", &[]);
        assert_eq!(arriving.unwrap().arrive("to_device").unwrap().length(), 0);
    }
}
