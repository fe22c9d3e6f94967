//! Models in files.

use std::path::Path;

use super::Module;
use crate::{FileError, Tensor};

/// Writes all parameters and buffers of a model, by their names, as a safetensors file.
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If a lazy parameter has no shape yet.
///
/// ```
/// use d2l::prelude::*;
///
/// let path = std::env::temp_dir().join("d2l-doc-mlp.safetensors");
/// let make = || sequential![nn::Linear::new(4, 8), nn::Relu, nn::Linear::new(8, 1)];
/// let (net, clone) = (make(), make());
/// nn::save(&net, &path)?;
/// nn::load(&clone, &path)?;
/// let x = Tensor::rand([2, 4]);
/// assert!(net.forward(&x).equal(&clone.forward(&x)));
/// # Ok::<(), d2l::FileError>(())
/// ```
#[track_caller]
pub fn save(module: &dyn Module, path: impl AsRef<Path>) -> Result<(), FileError> {
    save_to(module, path.as_ref())
}

#[track_caller]
fn save_to(module: &dyn Module, path: &Path) -> Result<(), FileError> {
    let state = module.state();
    let mut named = Vec::new();
    for (name, parameter) in state.iter() {
        named.push((name, parameter.tensor()));
    }
    Tensor::save_named(path, &named)
}

/// Fills all parameters and buffers of a model from a safetensors file; lazy ones get their
/// shapes from it. Parameters keep their types; lazy ones hold halves as `f32`.
///
/// # Errors
/// If the file cannot be read, misses a name, or has another shape under it; then nothing was
/// changed.
///
/// ```
/// use d2l::prelude::*;
///
/// let path = std::env::temp_dir().join("d2l-doc-linear.safetensors");
/// let layer = nn::Linear::new(3, 2);
/// nn::save(&layer, &path)?;
/// let lazy = nn::Linear::lazy(2);
/// nn::load(&lazy, &path)?;
/// assert!(lazy.weight.equal(&layer.weight));
/// assert!(nn::load(&nn::Linear::new(4, 2), &path).is_err());
/// # Ok::<(), d2l::FileError>(())
/// ```
pub fn load(module: &dyn Module, path: impl AsRef<Path>) -> Result<(), FileError> {
    load_from(module, path.as_ref())
}

fn load_from(module: &dyn Module, path: &Path) -> Result<(), FileError> {
    let found = Tensor::load_named(path)?;
    let wrong = |problem: String| FileError::format(&path.display().to_string(), problem);
    let state = module.state();
    for (name, parameter) in state.iter() {
        let Some(tensor) = found.get(name) else {
            let names: Vec<&String> = found.keys().collect();
            return Err(wrong(format!("nothing is named {name:?} among {names:?}")));
        };
        if !parameter.is_lazy() && parameter.shape() != tensor.shape() {
            return Err(wrong(format!(
                "{name:?} has shape {:?}, the model needs {:?}",
                tensor.shape(),
                parameter.shape()
            )));
        }
        if !tensor.dtype().is_float() {
            return Err(wrong(format!("{name:?} holds {}, not floats", tensor.dtype())));
        }
    }
    for (name, parameter) in state.iter() {
        let tensor = &found[name];
        parameter.get_or_init(|| tensor.to_dtype(tensor.dtype().wide()));
        parameter.assign(tensor);
    }
    Ok(())
}
