import LaminaKernels

/// Copies a feature map of rank 4 from one layout to another. Missing channels and halos are zeros.
func convertLayout(
  _ shape: Shape, from source: UnsafePointer<Float>, _ sourceLayout: TensorLayout,
  to target: UnsafeMutablePointer<Float>, _ targetLayout: TensorLayout, pool: ThreadPool
) {
  var (from, to) = (sourceLayout.map(shape), targetLayout.map(shape))
  lk_f32_copy_map(
    pool.handle, shape[0], shape[1], shape[2], shape[3], &from, source, &to, target)
}
