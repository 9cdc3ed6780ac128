import LaminaCore

/// Reads lists of class names.
public enum LabelFile {
  /// The class names of a text: one a line, or `n01440764 tench, Tinca tinca` with the WordNet id
  /// taken off. Empty lines at the end are left out.
  ///
  /// - Throws: `format` when the bytes are not UTF-8, a line is empty, or there is none.
  public static func labels(bytes: [UInt8], path: String = "labels") throws -> [String] {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw LaminaError(.format, "the text is not UTF-8", path: path)
    }
    var lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map {
      line in
      String(line.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }
    while lines.last?.isEmpty == true { lines.removeLast() }
    guard !lines.isEmpty else {
      throw LaminaError(.format, "expected a label, found none", path: path)
    }
    if let index = lines.firstIndex(of: "") {
      throw LaminaError(.format, "expected a label on line \(index + 1), found none", path: path)
    }
    let ids = lines.map(wordNetIDCount)
    return ids.contains(0) ? lines : zip(lines, ids).map { String($0.dropFirst($1)) }
  }

  /// The class names of a file.
  ///
  /// - Throws: as `labels(bytes:path:)`, and what reading the file throws.
  public static func labels(path: String, limits: Limits = Limits()) throws -> [String] {
    let reader = try FileReader(path: path, maximumBytes: limits.jsonBytes)
    return try labels(bytes: try reader.allBytes(), path: path.escapedForDisplay(limit: 512))
  }

  /// Characters of `n01440764 ` at the start of a line that goes on, otherwise 0.
  private static func wordNetIDCount(_ line: String) -> Int {
    let prefix = line.utf8.prefix(10)
    let isID =
      line.utf8.count > 10 && prefix.first == UInt8(ascii: "n") && prefix.last == UInt8(ascii: " ")
      && prefix.dropFirst().dropLast().allSatisfy {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
      }
    return isID ? 10 : 0
  }
}
