import LaminaCore

/// Named tensors of a weight file. Opening reads the names, shapes and types; the elements are read
/// when they are asked for.
public protocol TensorSource: Sendable {
  /// The names, in the order of the file.
  var keys: [String] { get }
  /// What the file is and says about itself, for messages and reports: `resnet20.th (PyTorch,
  /// legacy)`.
  var provenance: String { get }
  /// Shape and element type of a tensor.
  ///
  /// - Throws: `notFound` with the nearest name; `unsupported` for a type that Lamina has not.
  func spec(_ key: String) throws -> TensorSpec
  /// Writes the elements, row-major and in the machine's byte order, into exactly
  /// `spec(key).byteCount` bytes.
  ///
  /// - Throws: as `spec`; `format` when the file is broken or shrank; `io`.
  func read(_ key: String, into target: UnsafeMutableRawBufferPointer) throws
}

extension TensorSource {
  /// The tensor as it is stored.
  ///
  /// - Throws: as `read`; `limit` when it does not fit into memory.
  public func tensor(_ key: String, limits: Limits = Limits()) throws -> Tensor {
    let spec = try spec(key)
    try limits.checkMemory(spec.byteCount, for: "tensor '\(key.escapedForDisplay())'")
    let tensor = try Tensor(uninitialized: spec.shape, spec.type)
    try tensor.withMutableBytes { try read(key, into: $0) }
    return tensor
  }

  /// The error for a name that the file has not.
  func unknownKey(_ key: String) -> LaminaError {
    let hint =
      nearestName(to: key, in: keys).map { ", nearest is '\($0.escapedForDisplay())'" } ?? ""
    return LaminaError(
      .notFound, "no tensor named '\(key.escapedForDisplay())'\(hint)", path: provenance)
  }
}

/// The kinds of weight files, told apart by their first bytes.
enum WeightFormat {
  case safeTensors, zip, pickle, tar, hdf5, numPy, unknown

  init(_ source: ByteSource) throws {
    let head = try source.bytes(0..<min(source.byteCount, 512))
    let tarMagic = head.count >= 262 && head[257..<262].elementsEqual("ustar".utf8)
    if tarMagic {
      self = .tar
    } else if head.starts(with: [0x50, 0x4B]) {
      self = .zip
    } else if head.starts(with: [0x89, 0x48, 0x44, 0x46]) {
      self = .hdf5
    } else if head.starts(with: NumPyHeader.magic) {
      self = .numPy
    } else if head.count >= 2, head[0] == 0x80, head[1] <= 5 {
      self = .pickle
    } else if head.count >= 9, head[5] == 0, head[6] == 0, head[7] == 0,
      head[8...].first(where: { !SafeTensors.isWhitespace($0) }) == UInt8(ascii: "{")
    {
      self = .safeTensors
    } else {
      self = try HDF5File.signatureOffset(source) == nil ? .unknown : .hdf5
    }
  }
}

/// Opens a weight file of any format that Lamina reads; the content decides, not the name.
///
/// - Throws: `format` when the bytes are no weight file or a broken one, `unsupported` for formats
///   that are known by name only, `io`, `notFound`, `limit`.
public func openTensorSource(path: String, limits: Limits = Limits()) throws -> any TensorSource {
  let source = try ByteSource(path: path, limits: limits)
  if try ShardedSafeTensors.isIndex(source) {
    return try ShardedSafeTensors(source, folder: path.folder, limits: limits)
  }
  return try openTensorSource(source, limits: limits)
}

/// Opens the bytes of a weight file.
public func openTensorSource(
  bytes: [UInt8], name: String = "bytes", limits: Limits = Limits()
) throws -> any TensorSource {
  try openTensorSource(.memory(bytes, name: name), limits: limits)
}

/// Opens a weight file from a caller's descriptor, of which it takes a copy.
public func openTensorSource(descriptor: Int32, limits: Limits = Limits()) throws
  -> any TensorSource
{
  try openTensorSource(ByteSource(descriptor: descriptor, limits: limits), limits: limits)
}

/// Opens a weight file.
public func openTensorSource(_ source: ByteSource, limits: Limits = Limits()) throws
  -> any TensorSource
{
  switch try WeightFormat(source) {
  case .safeTensors: return try SafeTensors(source, limits: limits)
  case .zip where try KerasFile.isArchive(source, limits: limits), .hdf5:
    return try KerasFile(source, limits: limits)
  case .zip:
    let archive = try ZipArchive(source, limits: limits)
    if NumPyArrays.isArchive(archive) {
      return try NumPyArrays(source, archive: archive, limits: limits)
    }
    return try PyTorchFile(source, limits: limits)
  case .pickle where try PyTorchFile.isLegacy(source):
    return try PyTorchFile(source, limits: limits)
  case .pickle: return try NumPyPickle(source, limits: limits)
  case .numPy: return try NumPyArrays(source, limits: limits)
  case .tar:
    throw LaminaError(
      .unsupported,
      "tar files of PyTorch before 0.1.10 are not supported: load and save again with torch.save",
      path: source.name)
  case .unknown where try ShardedSafeTensors.isIndex(source):
    throw LaminaError(
      .unsupported, "an index of safetensors files is opened by its path", path: source.name)
  case .unknown where try CaffeModel.isModel(source):
    return try CaffeModel(source, limits: limits)
  case .unknown:
    throw LaminaError(
      .format,
      "expected weights of safetensors, PyTorch, Keras, NumPy or Caffe, found another format",
      path: source.name)
  }
}

extension String {
  /// The folder of a path.
  var folder: String { lastIndex(of: "/").map { String(self[...$0]) } ?? "." }
}
