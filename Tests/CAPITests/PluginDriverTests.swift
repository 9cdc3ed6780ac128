import Foundation
import Lamina
import LaminaTestSupport
import Testing

@Suite struct PluginDriverTests {
  /// The folder of the build, which the tests' own executable and the library lie in.
  private static let build = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent().path

  private func run(_ program: String, _ words: [String], _ folder: String) throws -> (
    status: Int32, text: String
  ) {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [program] + words
    process.environment = ProcessInfo.processInfo.environment.merging([
      "XDG_CACHE_HOME": "\(folder)/cache"
    ]) { $1 }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: data, as: UTF8.self))
  }

  @Test func aThousandCyclesOfAContextWithAPluginTakeNoMoreMemoryThanAHundred() throws {
    try withTemporaryFolder { folder in
      let driver = "\(folder)/driver"
      let compiled = try run(
        "cc",
        [
          "-O1", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I\(packageRoot)/include",
          "\(packageRoot)/Tests/plugin-driver.c", "\(Self.build)/liblamina-c.so",
          "-Wl,-rpath,\(Self.build)", "-lpthread", "-o", driver,
        ], folder)
      try #require(compiled.status == 0, "\(compiled.text)")
      let outcome = try run(
        driver, [PluginBuilder.mish(), "com.example.mish", "1000", String(2 << 20)], folder)
      #expect(outcome.status == 0, "\(outcome.text)")
      let missing = try run(driver, [PluginBuilder.mish(), "com.example.moss", "10"], folder)
      #expect(missing.status == 1)
      #expect(missing.text.contains("com.example.moss"))
    }
  }
}
