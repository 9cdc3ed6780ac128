// swift-tools-version: 6.1
import PackageDescription

/// The direction of the arrows is law: `Tests/LaminaCoreTests/ArchitectureTests.swift` checks the imports.
let package = Package(
  name: "Lamina",
  products: [
    .library(name: "Lamina", targets: ["Lamina"]),
    .library(name: "LaminaPluginKit", targets: ["LaminaPluginKit"]),
    .library(name: "lamina-c", type: .dynamic, targets: ["LaminaC"]),
    .executable(name: "lamina", targets: ["lamina-tool"]),
  ],
  dependencies: [],
  targets: [
    .systemLibrary(
      name: "CJPEG", path: "Sources/CJPEG", pkgConfig: "libjpeg",
      providers: [.apt(["libjpeg-dev"]), .brew(["jpeg-turbo"])]),
    .systemLibrary(
      name: "CPNG", path: "Sources/CPNG", pkgConfig: "libpng",
      providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
    .systemLibrary(
      name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib",
      providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
    .systemLibrary(name: "CLamina", path: "include"),

    .target(name: "LaminaKernels"),
    .target(name: "LaminaCore", dependencies: ["LaminaKernels"]),
    .target(name: "LaminaLayers", dependencies: ["LaminaCore", "LaminaKernels"]),
    .target(name: "LaminaBlocks", dependencies: ["LaminaCore"]),
    .target(name: "LaminaModels", dependencies: ["LaminaBlocks", "LaminaCore"]),
    .target(name: "LaminaWeights", dependencies: ["LaminaCore", "CZlib"]),
    .target(name: "LaminaImageShim", dependencies: ["CJPEG", "CPNG"]),
    .target(
      name: "LaminaImages",
      dependencies: ["LaminaCore", "LaminaKernels", "LaminaImageShim", "CZlib"]),
    .target(
      name: "LaminaTraining", dependencies: ["LaminaCore", "LaminaKernels", "LaminaImages"]),
    .target(name: "LaminaPlugins", dependencies: ["CLamina", "LaminaCore", "LaminaImages"]),
    .target(name: "LaminaPluginKit", dependencies: ["CLamina", "LaminaCore"]),
    .target(
      name: "LaminaC",
      dependencies: [
        "CLamina", "LaminaCore", "LaminaLayers", "LaminaBlocks", "LaminaModels", "LaminaWeights",
        "LaminaImages", "LaminaPlugins", "LaminaTraining",
      ],
      exclude: ["install", "liblamina.map", "link.sh"]),
    .target(
      name: "Lamina",
      dependencies: [
        "LaminaCore", "LaminaLayers", "LaminaBlocks", "LaminaModels", "LaminaWeights",
        "LaminaImages", "LaminaPlugins", "LaminaTraining",
      ]),
    .executableTarget(name: "lamina-tool", dependencies: ["Lamina"]),

    .target(
      name: "LaminaTestSupport", dependencies: ["Lamina", "LaminaKernels"],
      path: "Tests/LaminaTestSupport"),
    .testTarget(name: "LaminaKernelsTests", dependencies: ["LaminaKernels"]),
    .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
    .target(
      name: "SwishSample", dependencies: ["LaminaPluginKit"],
      path: "plugins/swish-swift/Sources/Swish"),
    .testTarget(name: "LaminaCoreTests", dependencies: ["AllocationCounter", "LaminaTestSupport"]),
    .testTarget(name: "LaminaLayersTests", dependencies: ["LaminaTestSupport"]),
    .testTarget(
      name: "LaminaModelsTests", dependencies: ["AllocationCounter", "LaminaTestSupport"]),
    .testTarget(name: "LaminaWeightsTests", dependencies: ["LaminaTestSupport"]),
    .testTarget(name: "LaminaImagesTests", dependencies: ["LaminaTestSupport"]),
    .testTarget(name: "LaminaTrainingTests", dependencies: ["LaminaTestSupport"]),
    .testTarget(
      name: "LaminaPluginsTests",
      dependencies: [
        "CLamina", "LaminaPluginKit", "LaminaPlugins", "LaminaTestSupport", "SwishSample",
      ]),
    .testTarget(
      name: "CAPITests",
      dependencies: ["AllocationCounter", "CLamina", "LaminaC", "LaminaTestSupport"]),
    .testTarget(name: "ToolTests", dependencies: ["LaminaTestSupport"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu17
)
