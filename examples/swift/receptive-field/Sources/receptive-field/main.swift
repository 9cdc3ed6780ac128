// Three 3×3 convolutions see as much of a picture as one of 7×7, with fewer weights and multiplications: why VGG is
// made of them (Simonyan and Zisserman 2014, arXiv:1409.1556, section 2.3).
//
//     swift run -c release receptive-field

import Lamina

/// `count` convolutions of `kernel`×`kernel` windows, one behind the other, each of 64 channels.
func stack(of count: Int, _ kernel: Int) throws -> ModelSummary {
  var builder = GraphBuilder(
    name: "\(count) × \(kernel)×\(kernel)", registry: LayerRegistry.standard)
  var x = try builder.input("x", [.batch, 64, 56, 56])
  for number in 1...count {
    x = try builder.add(
      "lamina.conv2d", "conv\(number)", x,
      attributes: ["out_channels": 64, "kernel_size": .ints([kernel, kernel]), "bias": false])
  }
  try builder.output(x)
  return try ModelSummary(builder.graph)
}

for summary in [try stack(of: 3, 3), try stack(of: 1, 7)] {
  print(summary.name)
  for row in summary.rows {
    let field = row.receptiveField?.size.map(String.init).joined(separator: "×") ?? "none"
    let output = row.output.map { "\($0.shape)" } ?? "unknown"
    print("  \(row.name): output \(output), sees \(field)")
  }
  print("  \(summary.weightCount) weights, \(summary.multiplyAdds) multiply-adds")
}
