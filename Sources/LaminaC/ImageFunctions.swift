import CLamina
import LaminaCore
import LaminaImages

/// What `lamina_image` names.
final class ImageObject: HandleObject {
  static let kind = HandleKind.image
  let image: Image

  init(_ image: Image) { self.image = image }
}

/// `lamina_image_load` of `lamina.h`.
@_cdecl("lamina_image_load") @implementation
public func lamina_image_load(
  _ context: lamina_context, _ path: UnsafePointer<CChar>?,
  _ image: UnsafeMutablePointer<lamina_image>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let context = try handles.object(context, ContextObject.self)
    let path = try text(path, "path")
    let image = try require(image, "image")
    let decoded = try Image.load(
      path: path, limits: context.limits, options: context.decoding)
    image.pointee = try handles.insert(ImageObject(decoded))
  }
}

/// `lamina_image_decode` of `lamina.h`.
@_cdecl("lamina_image_decode") @implementation
public func lamina_image_decode(
  _ context: lamina_context, _ data: UnsafeRawPointer?, _ size: Int,
  _ image: UnsafeMutablePointer<lamina_image>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let context = try handles.object(context, ContextObject.self)
    let bytes = try bytes(data, size, "data")
    let image = try require(image, "image")
    let decoded = try Image.decode(bytes, limits: context.limits, options: context.decoding)
    image.pointee = try handles.insert(ImageObject(decoded))
  }
}

/// `lamina_image_create` of `lamina.h`.
@_cdecl("lamina_image_create") @implementation
public func lamina_image_create(
  _ context: lamina_context, _ pixels: UnsafePointer<UInt8>?, _ width: Int, _ height: Int,
  _ rowBytes: Int, _ image: UnsafeMutablePointer<lamina_image>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let limits = try handles.object(context, ContextObject.self).limits
    let pixels = try require(pixels, "pixels")
    let image = try require(image, "image")
    guard width >= 1, width <= limits.imageSide, height >= 1, height <= limits.imageSide else {
      throw LaminaError(
        .argument,
        "expected sides of 1...\(limits.imageSide) pixels, found \(UInt(bitPattern: width)) x \(UInt(bitPattern: height))"
      )
    }
    guard rowBytes == 0 || rowBytes >= 3 * width, rowBytes <= 1 << 40 else {
      throw LaminaError(
        .argument,
        "expected at least \(3 * width) bytes a row, found \(UInt(bitPattern: rowBytes))",
        path: "row_bytes")
    }
    guard width * height <= limits.imagePixels else {
      throw LaminaError(
        .limit, "expected at most \(limits.imagePixels) pixels, found \(width) x \(height)")
    }
    let step = rowBytes == 0 ? 3 * width : rowBytes
    let packed = [UInt8](unsafeUninitializedCapacity: 3 * width * height) { target, count in
      for row in 0..<height {
        UnsafeMutableRawBufferPointer(target).baseAddress?.advanced(by: row * 3 * width)
          .copyMemory(from: pixels + row * step, byteCount: 3 * width)
      }
      count = target.count
    }
    let made = try Image(width: width, height: height, pixels: packed)
    image.pointee = try handles.insert(ImageObject(made))
  }
}

/// `lamina_image_release` of `lamina.h`.
@_cdecl("lamina_image_release") @implementation
public func lamina_image_release(_ image: lamina_image) { handles.release(image, .image) }

/// `lamina_image_get_info` of `lamina.h`.
@_cdecl("lamina_image_get_info") @implementation
public func lamina_image_get_info(
  _ image: lamina_image, _ info: UnsafeMutablePointer<lamina_image_info>?,
  _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let image = try handles.object(image, ImageObject.self).image
    var facts = lamina_image_info()
    facts.width = image.width
    facts.height = image.height
    facts.row_bytes = 3 * image.width
    facts.pixels = image.withPixels { $0.baseAddress }
    try write(facts, to: require(info, "info"), "info")
  }
}

/// `lamina_model_preprocess` of `lamina.h`.
@_cdecl("lamina_model_preprocess") @implementation
public func lamina_model_preprocess(
  _ model: lamina_model, _ images: UnsafePointer<lamina_image>?, _ count: Int,
  _ tensor: UnsafeMutablePointer<lamina_tensor>?, _ error: UnsafeMutablePointer<lamina_error>?
) -> lamina_status {
  perform(error) {
    let model = try handles.object(model, ModelObject.self)
    let images = try array(images, count, "images")
    guard !images.isEmpty else {
      throw LaminaError(.argument, "expected at least 1 image, found 0", path: "images")
    }
    let tensor = try require(tensor, "tensor")
    let objects = try images.map { try handles.object($0, ImageObject.self) }
    let first = try model.input(from: objects[0].image)
    let shape = try Shape([count] + first.shape.dimensions.dropFirst())
    try tensor.pointee.expect(shape, .float32)
    let batch = try Tensor(uninitialized: shape)
    for (index, object) in objects.enumerated() {
      let input = index == 0 ? first : try model.input(from: object.image)
      guard input.spec == first.spec else {
        throw LaminaError(
          .shape, "expected every image as \(first.spec), found \(input.spec) for image \(index)")
      }
      input.withBytes { bytes in
        batch.withMutableBytes { target in
          UnsafeMutableRawBufferPointer(rebasing: target[(index * bytes.count)...])
            .copyMemory(from: bytes)
        }
      }
    }
    try tensor.pointee.receive(batch)
  }
}

extension ModelObject {
  /// The model's input made of a picture.
  ///
  /// - Throws: `state` when the model does not say how.
  func input(from image: Image) throws -> Tensor {
    guard let preprocessing = model.metadata.preprocessing else {
      throw LaminaError(
        .state, "the model does not say how a picture becomes its input", path: model.graph.name)
    }
    return try preprocessing.apply(to: image)
  }
}
