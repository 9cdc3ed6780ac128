import Foundation
import Lamina
import LaminaTestSupport
import Testing

@Suite struct PluginCommandTests {
  /// A copy of the sample plugin, and a folder for verdicts.
  private func shell(_ line: String, _ folder: TemporaryFolder, plugins: String? = nil) throws
    -> Outcome
  {
    var environment = ["XDG_CACHE_HOME": folder.path("cache"), "LAMINA_PLUGIN_PATH": ""]
    if let plugins { environment["LAMINA_PLUGIN_PATH"] = plugins }
    return try Tool.shell(line, in: folder.url, environment: environment)
  }

  private func folderWithPlugin() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      atPath: PluginBuilder.mish(), toPath: folder.path("mish.so"))
    return folder
  }

  @Test func infoTellsWhatAPluginSupplies() throws {
    let folder = try folderWithPlugin()
    let outcome = try shell("lamina plugin info ./mish.so", folder)
    #expect(
      outcome.output == """
        com.example.mish 1.0.0 of Example, for interface 1.0
          com.example.mish  version 1, 1 input, can be trained through

        """)
    #expect(outcome.errors == "")
    #expect(outcome.status == 0)
  }

  @Test func aPluginIsGivenByFlagOrVariable() throws {
    let folder = try folderWithPlugin()
    let entry = "com.example.mish  version 1, 1 input, from com.example.mish\n"
    let flag = try shell("lamina layers com.example.mish --plugin mish.so", folder)
    #expect(flag.output == entry)
    let both = try shell(
      "lamina layers com.example.mish --plugin mish.so --plugin ./mish.so", folder,
      plugins: folder.url.path)
    #expect(both.output == entry)
    let variable = try shell("lamina layers com.example.mish", folder, plugins: folder.url.path)
    #expect(variable.output == entry)
    #expect(try shell("lamina layers com.example.mish", folder).status == 3)
  }

  @Test func aModelWithAPluginsLayerRuns() throws {
    let folder = try folderWithPlugin()
    var options = PluginOptions()
    options.cacheFolder = folder.path("cache")
    let plugin = try Plugin.load(path: folder.path("mish.so"), options: options)
    var builder = GraphBuilder(name: "one", registry: try LayerRegistry.standard.adding(plugin))
    let input = try builder.input("input", [.batch, 3, 8, 8])
    try builder.output(builder.add("com.example.mish", "act", input), name: "output")
    try ModelFile.save(
      Model(initializing: builder.graph, registry: builder.registry),
      to: folder.path("model.safetensors"))
    let summary = try shell("lamina summary model.safetensors --plugin mish.so", folder)
    #expect(summary.status == 0)
    #expect(summary.output.contains("com.example.mish"))
    let missing = try shell("lamina summary model.safetensors", folder)
    #expect(missing.status == 0)
    #expect(missing.output.contains("com.example.mish (missing)"))
    let run = try shell("lamina bench model.safetensors", folder)
    #expect(run.status == 3)
    #expect(run.errors.contains("usually supplied by plugin 'com.example.mish' 1.0.0"))
  }

  @Test func aPluginThatCrashesIsQuarantinedUntilRetried() throws {
    let folder = try TemporaryFolder()
    try "#include <stdlib.h>\nvoid *lamina_plugin_entry(void) { abort(); }\n".write(
      toFile: folder.path("bad.c"), atomically: true, encoding: .utf8)
    try PluginBuilder.build(folder.path("bad.c"), to: folder.path("bad.so"))
    let crashed =
      "lamina plugin: bad.so: ended by signal 6 (abort) when it was loaded by a process of its own\n"
    #expect(try shell("lamina plugin info bad.so", folder).errors == crashed)
    #expect(
      try shell("lamina plugin info bad.so", folder).errors
        == "lamina plugin: bad.so: in quarantine since it ended by signal 6 (abort) when it was "
        + "loaded; 'lamina plugin retry' loads it again\n")
    let retried = try shell("lamina plugin retry bad.so", folder)
    #expect(retried.errors == crashed)
    #expect(retried.status == 3)
  }

  @Test(.enabled(if: PluginBuilder.hasWebP, "skipped: no libwebp (Debian: libwebp-dev)"))
  func predictReadsPicturesOfAPlugin() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      atPath: #require(try PluginBuilder.webp()), toPath: folder.path("webp-decoder.so"))
    try ModelFile.save(Sample.model(), to: folder.path("model.safetensors"))
    let picture =
      "UklGRjoAAABXRUJQVlA4TC0AAAAvBcAAABAIEMKECRNLEEASTjjjjDPOWFdA7n8ATNAML5VpuV7IRd30c53X+wEA"
    _ = try folder.file("x.webp", Array(#require(Data(base64Encoded: picture))))
    let info = try shell("lamina plugin info webp-decoder.so", folder)
    #expect(
      info.output == """
        com.example.webp-decoder 1.0.0 of Example, for interface 1.0
          WebP  decodes pictures (.webp)

        """)
    let outcome = try shell(
      "lamina predict --plugin webp-decoder.so model.safetensors x.webp", folder)
    #expect(outcome.errors == "")
    #expect(outcome.output.split(separator: "\n").count == 3)
    let without = try shell("lamina predict model.safetensors x.webp", folder)
    #expect(
      without.errors
        == "lamina predict: x.webp: expected a JPEG or PNG picture, found WebP\n")
  }

  @Test func aLayerOfLaminasIsReplacedWhenThatIsSaid() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      atPath: PluginBuilder.fastMish(), toPath: folder.path("fast.so"))
    let refused = try shell("lamina layers lamina.mish --plugin fast.so", folder)
    #expect(refused.status != 0)
    #expect(
      refused.errors.contains(
        "lamina.mish of 'com.example.mish' is already supplied by 'lamina'"))
    let replaced = try shell("lamina layers lamina.mish --plugin-replace fast.so", folder)
    #expect(replaced.output == "lamina.mish  version 1, 1 input, from com.example.mish\n")
    let both = try shell(
      "lamina layers lamina.mish --plugin-replace fast.so", folder, plugins: folder.path("fast.so"))
    #expect(both.output == replaced.output)
  }
}
