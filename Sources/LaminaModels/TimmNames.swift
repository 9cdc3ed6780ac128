import LaminaBlocks
import LaminaCore

extension KeyMap.Rule {
  /// timm's names of inverted residuals: it counts blocks within their stage, and names convolutions
  /// for what they do and norms by their place in the block.
  ///
  /// - Parameter prefix: what stands before the number of a block in the model, the first being
  ///   `first`.
  static func timmInvertedResiduals(
    _ stages: [(expands: Bool, repeats: Int)], names: InvertedResidualNames, prefix: String,
    first: Int
  ) -> [KeyMap.Rule] {
    var number = first
    return stages.enumerated().flatMap { stage, blocks in
      (0..<blocks.repeats).flatMap { place in
        let theirs = blocks.expands ? ["conv_pw", "conv_dw", "conv_pwl"] : ["conv_dw", "conv_pw"]
        let ours = names.parts(expands: blocks.expands).suffix(theirs.count)
        defer { number += 1 }
        return zip(1..., zip(theirs, ours)).flatMap { index, pair in
          [
            KeyMap.Rule.prefix(
              "blocks.\(stage).\(place).\(pair.0).", "\(prefix)\(number).\(pair.1[0])."),
            .prefix("blocks.\(stage).\(place).bn\(index).", "\(prefix)\(number).\(pair.1[1])."),
          ]
        }
      }
    }
  }
}
