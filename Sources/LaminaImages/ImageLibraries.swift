import LaminaImageShim

/// The libraries of the system that decode pictures.
public enum ImageLibraries {
  /// Names and versions.
  public static var versions: [(name: String, version: String)] {
    [("libjpeg", li_jpeg_version()), ("libpng", li_png_version()), ("zlib", li_zlib_version())]
      .map { ($0, $1.map { String(cString: $0) } ?? "unknown") }
  }
}
