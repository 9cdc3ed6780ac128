import LaminaCore
import LaminaKernels

extension BackwardCall {
  /// Adds the gradient of the first output to that of the first input, element for element.
  func addFirstGradient(factor: Float = 1) {
    guard let dy = outputGradients[0], let dx = inputGradients[0] else { return }
    lk_f32_unary_gradient(
      pool.handle, LK_SCALE, factor, 0, dy.floats, dy.floats, dx.floats, true, dx.shape.count)
  }

  /// Whether the gradient of an input is to be written whole.
  func setsInputGradient(_ input: Int) -> Bool {
    input < setsInputGradients.count && setsInputGradients[input]
  }

  /// The same for the gradient of a parameter.
  func setsParameterGradient(_ parameter: Int) -> Bool {
    parameter < setsParameterGradients.count && setsParameterGradients[parameter]
  }

  /// Zeros for the gradient of an input in plain layout where it is to be written whole, for code that adds.
  func clearInputGradient(_ input: Int) {
    guard setsInputGradient(input), let gradient = inputGradients[input] else { return }
    gradient.baseAddress.initializeMemory(as: UInt8.self, repeating: 0, count: gradient.byteCount)
  }

  /// The scratch memory as floats.
  var floats: UnsafeMutablePointer<Float>? {
    scratch.baseAddress?.assumingMemoryBound(to: Float.self)
  }
}
