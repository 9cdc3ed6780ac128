import Foundation
import Lamina
import Testing

/// Records an issue unless `body` throws a `LaminaError` of this code and exact message (and path, when given).
public func expectError<T>(
  _ code: LaminaError.Code, _ message: String, path: String? = nil,
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> T
) {
  do {
    _ = try body()
    Issue.record("expected error '\(message)', found none", sourceLocation: sourceLocation)
  } catch let error as LaminaError {
    if error.code != code {
      Issue.record(
        "expected code \(code), found \(error.code): \(error)", sourceLocation: sourceLocation)
    }
    if error.message != message {
      Issue.record(
        "expected message '\(message)', found '\(error.message)'", sourceLocation: sourceLocation)
    }
    if let path, error.path != path {
      Issue.record("expected path '\(path)', found '\(error.path)'", sourceLocation: sourceLocation)
    }
  } catch {
    Issue.record("expected a LaminaError, found \(error)", sourceLocation: sourceLocation)
  }
}

/// Calls `body` with the path of a new folder, which is removed afterwards.
public func withTemporaryFolder<T>(_ body: (String) throws -> T) throws -> T {
  let folder = FileManager.default.temporaryDirectory.appending(path: "lamina-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path)
}

/// The root of the package.
public let packageRoot = URL(filePath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent().path

/// Pretrained files and pictures that some tests read: the folder in `LAMINA_SHARED_DATA`, else `shared/data`
/// beside the package. Tests that need it carry `.enabled(if: SharedData.isAvailable)`.
public enum SharedData {
  /// The folder, when it is there.
  public static let folder: String? = {
    let path =
      ProcessInfo.processInfo.environment["LAMINA_SHARED_DATA"]
      ?? URL(filePath: packageRoot).deletingLastPathComponent().appending(path: "shared/data").path
    if FileManager.default.fileExists(atPath: path) { return path }
    print("skipped: no shared data at \(path)")
    return nil
  }()

  /// Whether the folder is there.
  public static var isAvailable: Bool { folder != nil }

  /// The path of a file in the folder, when it is there: `SharedData.path("photos/cat.jpg")`.
  public static func path(_ name: String) -> String? {
    guard let folder, FileManager.default.fileExists(atPath: "\(folder)/\(name)") else {
      return nil
    }
    return "\(folder)/\(name)"
  }
}
