import CLamina
import Foundation
import LaminaTestSupport
import Testing

/// Memory of the caller that a call may write, filled with a pattern so that a write is seen.
final class Guarded<T> {
  let count: Int
  private let base: UnsafeMutableRawPointer
  private static var fence: Int { 64 }
  private static var pattern: UInt8 { 0xA5 }

  /// `count` values between two fences.
  init(_ count: Int = 1) {
    self.count = count
    let size = count * MemoryLayout<T>.stride + 2 * Guarded.fence
    base = .allocate(byteCount: size, alignment: 64)
    memset(base, Int32(Guarded.pattern), size)
  }

  deinit { base.deallocate() }

  var pointer: UnsafeMutablePointer<T> {
    (base + Guarded.fence).assumingMemoryBound(to: T.self)
  }

  var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(
      start: base + Guarded.fence, count: count * MemoryLayout<T>.stride)
  }

  /// Whether nothing before or behind the values was written.
  var fencesStand: Bool {
    let behind = base + Guarded.fence + bytes.count
    return (0..<Guarded.fence).allSatisfy {
      base.load(fromByteOffset: $0, as: UInt8.self) == Guarded.pattern
        && behind.load(fromByteOffset: $0, as: UInt8.self) == Guarded.pattern
    }
  }

  /// Whether nothing from byte `start` on was written.
  func isUntouched(from start: Int = 0) -> Bool {
    fencesStand && bytes[start...].allSatisfy { $0 == Guarded.pattern }
  }
}

/// What a failing call says.
struct Failure: Equatable, CustomStringConvertible {
  var status: Int
  var message: String

  init(_ status: Int, _ message: String) {
    self.status = status
    self.message = message
  }

  var description: String { "\(status): \(message)" }
}

/// Calls a function and returns what it fails with.
func failure(_ call: (UnsafeMutablePointer<lamina_error>) -> lamina_status) -> Failure? {
  var error = lamina_error()
  error.struct_size = UInt32(MemoryLayout<lamina_error>.size)
  let status = call(&error)
  guard status != LAMINA_OK else { return nil }
  #expect(error.code == status)
  return Failure(Int(status), error.text)
}

/// Calls a function that must succeed.
func succeed(
  sourceLocation: SourceLocation = #_sourceLocation,
  _ call: (UnsafeMutablePointer<lamina_error>) -> lamina_status
) throws {
  let found = failure(call)
  try #require(found == nil, sourceLocation: sourceLocation)
}

extension lamina_error {
  var text: String {
    withUnsafeBytes(of: message) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}

/// A context, a model for digits, a session, a picture, and files of them; released at the end.
final class Fixture {
  var context: lamina_context = 0
  var model: lamina_model = 0
  var session: lamina_session = 0
  var image: lamina_image = 0
  /// Another model for digits, whose head can be replaced.
  var fitting: lamina_model = 0
  /// Twelve items of ten classes, the last four to check with.
  var dataset: lamina_dataset = 0
  /// Trains the other model on them, for one epoch.
  var trainer: lamina_trainer = 0
  /// A model file.
  let path: String
  /// A PNG file: a white bar, 28 × 28.
  let picture: String
  /// A folder with two pictures for each of the classes 0 to 9.
  let photos: String
  /// A folder of its own.
  let folder: String
  /// The picture: 28 × 28 grey steps.
  let pixels: [UInt8] = (0..<28 * 28).flatMap { [UInt8](repeating: UInt8($0 % 256), count: 3) }

  init(threads: Int32 = 2) throws {
    folder =
      FileManager.default.temporaryDirectory
      .appending(path: "lamina-c-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    path = folder + "/model.safetensors"
    picture = folder + "/bar.png"
    photos = folder + "/photos"
    let png = """
      iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAAAF0lEQVR42mNgGGDwHwhGJUclKZGkEwAAa65PsZyBXroAAA\
      AASUVORK5CYII=
      """
    try #require(Data(base64Encoded: png)).write(to: URL(filePath: picture))
    var options = lamina_context_options()
    options.struct_size = UInt32(MemoryLayout<lamina_context_options>.size)
    options.threads = threads
    try succeed { lamina_context_create(&options, &context, $0) }
    try succeed { lamina_model_create(context, "mnist_cnn", 0, 7, &model, $0) }
    try succeed { lamina_model_save(model, path, $0) }
    try succeed { lamina_session_create(model, nil, &session, $0) }
    try succeed { lamina_image_create(context, pixels, 28, 28, 0, &image, $0) }
    try succeed { error in withSource { lamina_dataset_create(context, $0, &dataset, error) } }
    try succeed { lamina_model_create(context, "lenet5", 0, 7, &fitting, $0) }
    var training = trainerOptions()
    training.epochs = 1
    training.batch_size = 4
    try succeed { lamina_trainer_create(fitting, dataset, 0, &training, &trainer, $0) }
    for digit in 0..<10 {
      let folder = "\(photos)/\(digit)"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      for number in 0..<2 {
        try FileManager.default.copyItem(atPath: picture, toPath: "\(folder)/\(number).png")
      }
    }
  }

  /// Calls `body` with a source of twelve items, `edit`ed.
  func withSource<R>(
    labels: Int = 10, _ edit: (inout lamina_dataset_source) -> Void = { _ in },
    _ body: (UnsafePointer<lamina_dataset_source>) -> R
  ) -> R {
    let names = (0..<labels).map { UnsafePointer(strdup("\($0)")) }
    defer { for name in names { free(UnsafeMutablePointer(mutating: name)) } }
    let classes = (0..<12).map { Int32($0 % 10) }
    return classes.withUnsafeBufferPointer { classes in
      names.withUnsafeBufferPointer { names in
        var source = lamina_dataset_source()
        source.struct_size = UInt32(MemoryLayout<lamina_dataset_source>.size)
        source.rank = 3
        (source.shape.0, source.shape.1, source.shape.2) = (1, 28, 28)
        source.count = 12
        source.validation_count = 4
        source.classes = classes.baseAddress
        source.labels = names.baseAddress
        source.label_count = labels
        source.items = UnsafePointer(items)
        edit(&source)
        return body(&source)
      }
    }
  }

  /// The elements of the items: rows of another brightness for each class.
  private let items: UnsafeMutablePointer<Float> = {
    let count = 12 * 28 * 28
    let items = UnsafeMutablePointer<Float>.allocate(capacity: count)
    for place in 0..<count {
      let (item, row) = (place / 784, place % 784 / 28)
      items[place] = row == 2 * (item % 10) ? 2 : Float(place % 7) / 16
    }
    return items
  }()

  deinit {
    lamina_trainer_release(trainer)
    lamina_dataset_release(dataset)
    lamina_model_release(fitting)
    items.deallocate()
    lamina_image_release(image)
    lamina_session_release(session)
    lamina_model_release(model)
    lamina_context_release(context)
    try? FileManager.default.removeItem(atPath: folder)
  }
}

/// Options of a trainer: the defaults.
func trainerOptions() -> lamina_trainer_options {
  var options = lamina_trainer_options()
  options.struct_size = UInt32(MemoryLayout<lamina_trainer_options>.size)
  return options
}

/// A tensor of the caller's memory.
func tensor(
  _ shape: [Int64], _ type: Int = LAMINA_FLOAT32, _ data: UnsafeMutableRawPointer? = nil,
  byteCount: Int = 0
) -> lamina_tensor {
  var tensor = lamina_tensor()
  tensor.type = Int32(type)
  tensor.rank = Int32(shape.count)
  tensor.data = data
  tensor.byte_count = byteCount
  withUnsafeMutableBytes(of: &tensor.shape) { bytes in
    let extents = bytes.assumingMemoryBound(to: Int64.self)
    for (axis, extent) in shape.enumerated() where axis < 8 { extents[axis] = extent }
  }
  return tensor
}

extension lamina_tensor {
  var extents: [Int64] {
    withUnsafeBytes(of: shape) { Array($0.assumingMemoryBound(to: Int64.self).prefix(Int(rank))) }
  }
}
