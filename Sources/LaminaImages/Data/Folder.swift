import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What lies in a folder of the file system.
enum Folder {
  /// Whether something lies at a path.
  static func holds(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// Names in a folder, those that begin with a dot left out, in the order of their bytes, and whether each is a
  /// folder itself. Links are followed; what is neither a folder nor a regular file is left out.
  ///
  /// - Throws: `notFound`; `io` when it cannot be read or is no folder; `limit` for more than 10 million names.
  static func entries(_ path: String) throws -> [(name: String, isFolder: Bool)] {
    let shown = path.escapedForDisplay(limit: 512)
    guard let stream = opendir(path) else {
      let reason = errno
      if reason == ENOENT { throw LaminaError(.notFound, "no such folder", path: shown) }
      if reason == ENOTDIR {
        throw LaminaError(.io, "expected a folder, found a file", path: shown)
      }
      throw LaminaError(.io, "cannot be read: error \(reason)", path: shown)
    }
    defer { closedir(stream) }
    var result: [(name: String, isFolder: Bool)] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name.hasPrefix(".") { continue }
      guard result.count < 10_000_000 else {
        throw LaminaError(.limit, "expected at most 10000000 files", path: shown)
      }
      var status = stat()
      guard stat("\(path)/\(name)", &status) == 0 else { continue }
      switch status.st_mode & S_IFMT {
      case S_IFDIR: result.append((name, true))
      case S_IFREG: result.append((name, false))
      default: continue
      }
    }
    return result.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }
}
