import Foundation
import Lamina
import LaminaTestSupport
import Testing

private func pickled(_ pickle: [UInt8]) -> [UInt8] { torchZip(pickle).bytes }

/// `{"a": tensor}` over four floats.
private func view(
  type: String = "FloatStorage", count: Int = 4, offset: Int = 0, size: [Int], stride: [Int],
  data: [UInt8] = littleEndian([Float](repeating: 1, count: 4))
) -> [UInt8] {
  torchZip(
    Pickle().emptyDictionary.mark.text("a")
      .tensor(type, key: "0", count: count, offset: offset, size: size, stride: stride).setItems
      .stop, storages: ["0": data]
  ).bytes
}

private func edited(_ edit: (inout ZipFixture) -> Void) -> [UInt8] {
  var zip = validZip
  edit(&zip)
  return zip.bytes
}

@Suite struct PyTorchTests {
  static let malformedZips = [
    Malformed(
      "no end record",
      "format: file @ 832: expected the end record of a zip archive, found none",
      Array(validZip.bytes.dropLast(22))),
    Malformed(
      "only a signature",
      "format: file @ 4: expected the end record of a zip archive, found none", [0x50, 0x4B, 3, 4]),
    Malformed(
      "end record in the comment",
      "format: file @ 854: expected one end record, found 2",
      edited { $0.comment = ZipFixture(entries: []).bytes }),
    Malformed(
      "bytes behind",
      "format: file @ 855: expected the end record of a zip archive, found none",
      validZip.bytes + [0]),
    Malformed(
      "count too high",
      "format: file central directory @ 296: expected 4 bytes of signature, found 0",
      edited { $0.entryCount = 6 }),
    Malformed(
      "count too low",
      "format: file central directory @ 237: expected the end of the directory, found 59 bytes",
      edited { $0.entryCount = 4 }),
    Malformed(
      "count far too high",
      "format: file @ 536: expected 60000 entries in 296 bytes of directory",
      edited { $0.entryCount = 60000 }),
    Malformed(
      "directory elsewhere",
      "format: file @ 832: expected a directory that ends at 832, found one of 296 bytes from 0",
      edited { $0.directoryOffset = 0 }),
    Malformed(
      "several disks",
      "unsupported: file: archives of several disks are not supported", edited { $0.disk = 1 }),
    Malformed(
      "zip64 record beyond the end",
      "format: file @ 832: expected the zip64 end record before the locator, found 9223372036854775808",
      edited {
        $0.zip64 =
          [0x50, 0x4B, 6, 7] + littleEndian(UInt32(0)) + littleEndian(UInt64(1) << 63)
          + littleEndian(UInt32(1))
      }),
    Malformed(
      "two end records differ",
      "format: file @ 832: the two end records differ",
      edited {
        $0.usesZip64 = true
        $0.directoryOffset = 7
      }),
    Malformed(
      "local name differs",
      "format: file: model/data.pkl: the local header has another name: 'model/data.pkx'",
      edited { $0.entries[0].localName = "model/data.pkx" }),
    Malformed(
      "local size differs",
      "format: file: model/data/0: the local header differs from the central directory",
      edited { $0.entries[2].localSize = 23 }),
    Malformed(
      "overlapping entries",
      "format: file @ 441: entries 'model/data/0' and 'model/data/1' overlap",
      edited {
        $0.entries[3] = $0.entries[2]
        $0.entries[3].name = "model/data/1"
        $0.entries[3].localName = "model/data/1"
        $0.entries[2].centralSize = 120
      }),
    Malformed(
      "one range under two names",
      "format: file central directory @ 237: two entries are named 'model/data/0'",
      edited {
        $0.entries[3].name = "model/data/0"
        $0.entries[3].localName = "model/data/1"
      }),
    Malformed(
      "checksum differs",
      "format: file: model/data/0: expected crc32 1, found 1939e524",
      edited { $0.entries[2].centralChecksum = 1 }),
    Malformed(
      "pickle checksum differs",
      "format: file: model/data.pkl: expected crc32 1, found 7db3997a",
      edited { $0.entries[0].centralChecksum = 1 }),
    Malformed(
      "absolute name",
      "format: file central directory @ 296: entry name '/etc/passwd' is not allowed",
      edited { $0.entries.append(.init(name: "/etc/passwd", data: [])) }),
    Malformed(
      "name with ..",
      "format: file central directory @ 296: entry name 'model/../../x' is not allowed",
      edited { $0.entries.append(.init(name: "model/../../x", data: [])) }),
    Malformed(
      "name with a backslash",
      #"format: file central directory @ 296: entry name 'model\x' is not allowed"#,
      edited { $0.entries.append(.init(name: #"model\x"#, data: [])) }),
    Malformed(
      "name with NUL",
      #"format: file central directory @ 296: entry name 'model/\x00' is not allowed"#,
      edited { $0.entries.append(.init(name: "model/\0", data: [])) }),
    Malformed(
      "empty name",
      "format: file central directory @ 296: entry name '' is not allowed",
      edited { $0.entries.append(.init(name: "", data: [])) }),
    Malformed(
      "name of 65535 bytes",
      "format: file central directory @ 296: entry name 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…' is not allowed",
      edited { $0.entries.append(.init(name: String(repeating: "n", count: 65535), data: [])) }),
    Malformed(
      "encrypted",
      "unsupported: file: model/data/0: encrypted entries are not supported",
      edited { $0.entries[2].flags = 1 }),
    Malformed(
      "method 12",
      "unsupported: file: model/data/0: expected compression method 0 or 8, found 12",
      edited { $0.entries[2].method = 12 }),
    Malformed(
      "deflate of no deflate data",
      "format: file: model/data/0: expected 24 deflated bytes to give 24, found 5 giving 0",
      edited { $0.entries[2].method = 8 }),
    Malformed(
      "deflate ratio",
      "limit: file: model/data/0: expected at most 100 times 24 bytes, found 1073741824",
      edited {
        $0.entries[2].method = 8
        $0.entries[2].uncompressedSize = 1 << 30
      }),
    Malformed(
      "zip64 size missing",
      "format: file central directory @ 121: expected a zip64 size",
      edited { $0.entries[2].centralSize = .max }),
    Malformed(
      "zip64 size of 2^63",
      "format: file: model/data/0: expected a size below 2^63, found 9223372036854775808",
      edited {
        $0.entries[2].centralSize = .max
        $0.entries[2].centralExtra =
          littleEndian(UInt16(1)) + littleEndian(UInt16(16)) + littleEndian(UInt64(1) << 63)
          + littleEndian(UInt64(1) << 63)
      }),
    Malformed(
      "local header beyond the directory",
      "format: file: model/data/0: expected a local header before 536, found 1073741824",
      edited { $0.entries[2].centralOffset = 1 << 30 }),
    Malformed(
      "no data.pkl",
      "format: file: expected an entry 'data.pkl' of torch.save, found none",
      ZipFixture(entries: [.init(name: "a", data: [])]).bytes),
    Malformed(
      "no entries",
      "format: file: expected an entry 'data.pkl' of torch.save, found none",
      [0x50, 0x4B, 5, 6] + [UInt8](repeating: 0, count: 18)),
    Malformed(
      "two data.pkl",
      "format: file: expected one entry 'data.pkl', found 2",
      edited { $0.entries.append(.init(name: "other/data.pkl", data: [])) }),
    Malformed(
      "TorchScript",
      "unsupported: file: contains code: a TorchScript archive; save model.state_dict() and load that",
      edited { $0.entries.append(.init(name: "model/constants.pkl", data: [])) }),
    Malformed(
      "big-endian",
      "unsupported: file: expected byte order 'little', found 'big'",
      edited { $0.entries[1] = .init(name: "model/byteorder", data: Array("big".utf8)) }),
    Malformed(
      "storage missing",
      "format: file: model/data/1: expected an entry of that name, found none",
      edited { $0.entries.remove(at: 3) }),
    Malformed(
      "storage too short",
      "format: file: model/data/1: expected 8 bytes, found 4",
      edited { $0.entries[3] = .init(name: "model/data/1", data: [0, 0, 0, 0]) }),
    Malformed(
      "storage too long",
      "format: file: model/data/1: expected 8 bytes, found 12",
      edited { $0.entries[3] = .init(name: "model/data/1", data: [UInt8](repeating: 0, count: 12)) }
    ),
  ]

  static let malformedPickles = [
    Malformed(
      "empty pickle",
      "format: file: model/data.pkl @ 0: expected a pickle of protocol 2 to 4", pickled([])),
    Malformed(
      "protocol 1",
      "unsupported: file: model/data.pkl @ 0: expected pickle protocol 2 to 4, found 1",
      pickled(Pickle(protocol: 1).none.stop)),
    Malformed(
      "protocol 5",
      "unsupported: file: model/data.pkl @ 0: expected pickle protocol 2 to 4, found 5",
      pickled(Pickle(protocol: 5).none.stop)),
    Malformed(
      "no protocol",
      "format: file: model/data.pkl @ 0: expected a pickle of protocol 2 to 4",
      pickled(Array("(dp0\n.".utf8))),
    Malformed(
      "os.system",
      "unsupported: file: model/data.pkl @ 2: expected tensors only, found a reference to 'os.system', which is not called",
      pickled(Pickle().global("os", "system").stop)),
    Malformed(
      "builtins.eval",
      "unsupported: file: model/data.pkl @ 2: expected tensors only, found a reference to 'builtins.eval', which is not called",
      pickled(Pickle().global("builtins", "eval").stop)),
    Malformed(
      "torch.hub.load",
      "unsupported: file: model/data.pkl @ 2: expected tensors only, found a reference to 'torch.hub.load', which is not called",
      pickled(Pickle().global("torch.hub", "load").stop)),
    Malformed(
      "posix.system by STACK_GLOBAL",
      "unsupported: file: model/data.pkl @ 23: expected tensors only, found a reference to 'posix.system', which is not called",
      pickled(Pickle(protocol: 4).text("posix").text("system").adding([0x93]).stop)),
    Malformed(
      "whole module",
      "unsupported: file: model/data.pkl @ 2: contains code: class 'torch.nn.modules.conv.Conv2d'; save model.state_dict() and load that",
      pickled(Pickle().global("torch.nn.modules.conv", "Conv2d").stop)),
    Malformed(
      "module of __main__",
      "unsupported: file: model/data.pkl @ 2: contains code: class '__main__.Net'; save model.state_dict() and load that",
      pickled(Pickle().global("__main__", "Net").stop)),
    Malformed(
      "STACK_GLOBAL of numbers",
      "format: file: model/data.pkl @ 6: STACK_GLOBAL expects two strings",
      pickled(Pickle().int(1).int(2).adding([0x93]).stop)),
    Malformed(
      "INST",
      "unsupported: file: model/data.pkl @ 3: opcode INST is not allowed in a file of tensors",
      pickled(Pickle().mark.adding(Array("ios\nsystem\n".utf8)).stop)),
    Malformed(
      "OBJ",
      "unsupported: file: model/data.pkl @ 3: opcode OBJ is not allowed in a file of tensors",
      pickled(Pickle().mark.op("o").stop)),
    Malformed(
      "EXT1",
      "unsupported: file: model/data.pkl @ 2: opcode EXT1 is not allowed in a file of tensors",
      pickled(Pickle().adding([0x82, 1]).stop)),
    Malformed(
      "EXT2",
      "unsupported: file: model/data.pkl @ 2: opcode EXT2 is not allowed in a file of tensors",
      pickled(Pickle().adding([0x83, 1, 0]).stop)),
    Malformed(
      "EXT4",
      "unsupported: file: model/data.pkl @ 2: opcode EXT4 is not allowed in a file of tensors",
      pickled(Pickle().adding([0x84, 1, 0, 0, 0]).stop)),
    Malformed(
      "PERSID",
      "unsupported: file: model/data.pkl @ 2: opcode PERSID is not allowed in a file of tensors",
      pickled(Pickle().adding(Array("Px\n".utf8)).stop)),
    Malformed(
      "BYTEARRAY8",
      "unsupported: file: model/data.pkl @ 2: opcode BYTEARRAY8 is not allowed in a file of tensors",
      pickled(Pickle().adding([0x96]).stop)),
    Malformed(
      "NEXT_BUFFER",
      "unsupported: file: model/data.pkl @ 2: opcode NEXT_BUFFER is not allowed in a file of tensors",
      pickled(Pickle().adding([0x97]).stop)),
    Malformed(
      "unknown opcode",
      "format: file: model/data.pkl @ 2: unknown opcode 0xff", pickled(Pickle().adding([0xFF]).stop)
    ),
    Malformed(
      "frame beyond the end",
      "format: file: model/data.pkl @ 2: expected a frame of 9223372036854775808 bytes, found 1",
      pickled(Pickle(protocol: 4).adding([0x95] + littleEndian(UInt64(1) << 63)).stop)),
    Malformed(
      "memo of nothing",
      "format: file: model/data.pkl @ 2: BINGET finds nothing under 7",
      pickled(Pickle().adding([0x68, 7]).stop)),
    Malformed(
      "memo of nothing, long",
      "format: file: model/data.pkl @ 2: LONG_BINGET finds nothing under 4294967295",
      pickled(Pickle().adding([0x6A, 0xFF, 0xFF, 0xFF, 0xFF]).stop)),
    Malformed(
      "text of 2^32-1 bytes",
      "format: file: model/data.pkl @ 2: expected 4294967295 bytes of text, found 1",
      pickled(Pickle().op("X").adding([0xFF, 0xFF, 0xFF, 0xFF]).stop)),
    Malformed(
      "text of 2^64-1 bytes",
      "format: file: model/data.pkl @ 2: expected 18446744073709551615 bytes of text, found 1",
      pickled(Pickle(protocol: 4).adding([0x8D] + littleEndian(UInt64.max)).stop)),
    Malformed(
      "text not UTF-8",
      "format: file: model/data.pkl @ 7: text is not UTF-8",
      pickled(Pickle().op("X").adding([1, 0, 0, 0, 0xFF]).stop)),
    Malformed(
      "long of 2^32-1 bytes",
      "format: file: model/data.pkl @ 2: expected 4294967295 bytes of integer, found 1",
      pickled(Pickle().adding([0x8B, 0xFF, 0xFF, 0xFF, 0xFF]).stop)),
    Malformed(
      "global without end of line",
      "format: file: model/data.pkl @ 2: GLOBAL has no end of line",
      pickled(Pickle().op("c").adding(Array("torch".utf8)).bytes)),
    Malformed(
      "mark never closed",
      "format: file: model/data.pkl @ 4: a mark is never closed", pickled(Pickle().none.mark.stop)),
    Malformed(
      "mark closed twice",
      "format: file: model/data.pkl @ 4: TUPLE finds no mark",
      pickled(Pickle().mark.tuple.tuple.stop)),
    Malformed(
      "two values at the end",
      "format: file: model/data.pkl @ 4: expected one value at the end, found 2",
      pickled(Pickle().none.none.stop)),
    Malformed(
      "nothing at the end",
      "format: file: model/data.pkl @ 2: expected one value at the end, found 0",
      pickled(Pickle().stop)),
    Malformed(
      "no STOP",
      "format: file: model/data.pkl @ 3: expected a pickle opcode, found the end",
      pickled(Pickle().none.bytes)),
    Malformed(
      "bytes behind STOP",
      "format: file: model/data.pkl @ 4: expected the end behind STOP, found 1 bytes",
      pickled(Pickle().none.stop + [0])),
    Malformed(
      "APPEND to a dictionary",
      "format: file: model/data.pkl @ 4: APPEND expects a list, found a dictionary",
      pickled(Pickle().emptyDictionary.none.op("a").stop)),
    Malformed(
      "SETITEM on a list",
      "format: file: model/data.pkl @ 5: SETITEM expects a dictionary, found a list",
      pickled(Pickle().op("]").none.none.op("s").stop)),
    Malformed(
      "SETITEMS of three",
      "format: file: model/data.pkl @ 7: SETITEMS has a key without a value",
      pickled(Pickle().emptyDictionary.mark.none.none.none.setItems.stop)),
    Malformed(
      "BUILD on a tensor",
      "unsupported: file: model/data.pkl @ 128: BUILD sets the state of a tensor, expected a dictionary",
      torchZip(
        Pickle().tensor(key: "0", count: 1, size: [1], stride: [1]).emptyDictionary.op("b").stop,
        storages: ["0": [0, 0, 0, 0]]
      ).bytes),
    Malformed(
      "BUILD with a tuple",
      "format: file: model/data.pkl @ 4: BUILD expects a dictionary, found a tuple",
      pickled(Pickle().emptyDictionary.emptyTuple.op("b").stop)),
    Malformed(
      "REDUCE of a number",
      "format: file: model/data.pkl @ 5: REDUCE calls an integer, expected a known name",
      pickled(Pickle().int(1).emptyTuple.reduce.stop)),
    Malformed(
      "REDUCE with a number",
      "format: file: model/data.pkl @ 29: REDUCE expects a tuple, found an integer",
      pickled(Pickle().global("collections", "OrderedDict").int(1).reduce.stop)),
    Malformed(
      "REDUCE of a storage class",
      "unsupported: file: model/data.pkl @ 23: a storage class is called, expected it in a persistent id only",
      pickled(Pickle().global("torch", "FloatStorage").emptyTuple.reduce.stop)),
    Malformed(
      "NEWOBJ of Size",
      "unsupported: file: model/data.pkl @ 15: NEWOBJ makes an object, expected tensors only",
      pickled(Pickle().global("torch", "Size").emptyTuple.adding([0x81]).stop)),
    Malformed(
      "tensor of two arguments",
      "format: file: model/data.pkl @ 41: expected 6 arguments for a tensor, found 2",
      pickled(
        Pickle().global("torch._utils", "_rebuild_tensor_v2").mark.int(1).int(2).tuple.reduce.stop)),
    Malformed(
      "tensor without a storage",
      "format: file: model/data.pkl @ 40: expected a tensor's storage, found an integer",
      pickled(
        Pickle().global("torch._utils", "_rebuild_tensor").mark.int(1).int(0).emptyTuple.emptyTuple
          .tuple.reduce.stop)),
    Malformed(
      "persistent id of a number",
      "format: file: model/data.pkl @ 4: a persistent id is an integer, expected a tuple",
      pickled(Pickle().int(1).persistent.stop)),
    Malformed(
      "persistent id of a module",
      "unsupported: file: model/data.pkl @ 19: contains code; save model.state_dict() and load that",
      pickled(Pickle().mark.text("module").none.none.none.none.tuple.persistent.stop)),
    Malformed(
      "persistent id of two",
      "format: file: model/data.pkl @ 17: expected a persistent id ('storage', class, key, device, count)",
      pickled(Pickle().mark.text("storage").none.tuple.persistent.stop)),
    Malformed(
      "persistent id without a class",
      "format: file: model/data.pkl @ 33: expected a storage class, found None",
      pickled(
        Pickle().mark.text("storage").none.text("0").text("cpu").int(1).tuple.persistent.stop)),
    Malformed(
      "negative storage",
      "format: file: model/data.pkl @ 97: expected a storage of 0 to 2^40 elements",
      view(count: -1, size: [4], stride: [1])),
    Malformed(
      "storage of 2^62+1",
      "format: file: model/data.pkl @ 102: expected a storage of 0 to 2^40 elements",
      view(count: 0x4000_0000_0000_0001, size: [4], stride: [1])),
    Malformed(
      "storage of two types",
      "format: file: model/data.pkl @ 102: storage '0' occurs with two types or sizes",
      torchZip(
        Pickle().mark.storage("FloatStorage", "0", 1).storage("IntStorage", "0", 1).tuple.stop,
        storages: ["0": [0, 0, 0, 0]]
      ).bytes),
    Malformed(
      "stride and size differ in number",
      "format: file: model/data.pkl @ 136: expected 2 strides, found 1",
      view(size: [2, 2], stride: [1])),
    Malformed(
      "negative size",
      "format: file: model/data.pkl @ 137: expected a tensor's size of integers in 0...2^40",
      view(size: [-1], stride: [1])),
    Malformed(
      "negative stride",
      "format: file: model/data.pkl @ 137: expected a tensor's stride of integers in 0...2^40",
      view(size: [4], stride: [-1])),
    Malformed(
      "negative offset",
      "format: file: model/data.pkl @ 137: expected a tensor's offset in 0...2^40",
      view(offset: -1, size: [4], stride: [1])),
    Malformed(
      "offset beyond",
      "format: file: model/data.pkl @ 134: a tensor of size [4] and stride [1] reaches beyond its storage of 4",
      view(offset: 1, size: [4], stride: [1])),
    Malformed(
      "stride beyond",
      "format: file: model/data.pkl @ 138: a tensor of size [2, 2] and stride [3, 1] reaches beyond its storage of 4",
      view(size: [2, 2], stride: [3, 1])),
    Malformed(
      "stride of 2^40",
      "format: file: model/data.pkl @ 149: a tensor of size [2147483647, 2] and stride [1099511627776, 1] reaches beyond its storage of 4",
      view(size: [2147483647, 2], stride: [1 << 40, 1])),
    Malformed(
      "size beyond 2^40",
      "shape: file: model/data.pkl @ 144: expected at most 2^40 elements, found [2147483647, 2147483647]",
      view(size: [2147483647, 2147483647], stride: [0, 0])),
    Malformed(
      "stride 0 over 2^38 elements",
      "limit: expected at most \(Limits().memoryBytes) bytes of memory, file up to 'a' needs 1099511627776",
      view(size: [1 << 30, 1 << 8], stride: [0, 0])),
    Malformed(
      "nine axes",
      "format: file: model/data.pkl @ 166: expected at most 8 axes, found 9",
      view(size: [1, 1, 1, 1, 1, 1, 1, 1, 1], stride: [1, 1, 1, 1, 1, 1, 1, 1, 1])),
    Malformed(
      "complex numbers",
      "unsupported: file: a: the tensor's element type is not supported",
      view(type: "ComplexFloatStorage", size: [4], stride: [1])),
    Malformed(
      "quantised numbers",
      "unsupported: file: a: the tensor's element type is not supported",
      view(type: "QInt8Storage", size: [4], stride: [1])),
    Malformed(
      "bool of 2",
      "format: file: a: expected bytes 0 or 1 in a tensor of bool",
      view(type: "BoolStorage", size: [4], stride: [1], data: [0, 1, 2, 0])),
    Malformed(
      "a list",
      "unsupported: file: expected a dictionary of tensors, found a list",
      pickled(Pickle().op("]").stop)),
    Malformed(
      "a dictionary without tensors",
      "unsupported: file: expected a dictionary of tensors, or one under state_dict, model_state_dict, model; found 'epoch', 'an integer'",
      pickled(Pickle().emptyDictionary.mark.text("epoch").int(3).int(4).int(5).setItems.stop)),
    Malformed(
      "an empty dictionary",
      "unsupported: file: expected a dictionary of tensors, or one under state_dict, model_state_dict, model; found an empty one",
      pickled(Pickle().emptyDictionary.stop)),
    Malformed(
      "number for a name",
      "format: file: expected tensor names as strings, found an integer",
      torchZip(
        Pickle().emptyDictionary.mark.int(1).tensor(key: "0", count: 1, size: [], stride: [])
          .setItems.stop,
        storages: ["0": [0, 0, 0, 0]]
      ).bytes),
    Malformed(
      "one name twice",
      "format: file: two tensors are named 'a'",
      torchZip(
        Pickle().emptyDictionary.mark
          .text("a").tensor(key: "0", count: 1, size: [], stride: [])
          .text("a").tensor(key: "0", count: 1, size: [], stride: []).setItems.stop,
        storages: ["0": [0, 0, 0, 0]]
      ).bytes),
  ]

  static let malformedStreams = [
    Malformed(
      "another pickle",
      "unsupported: file: expected an array, or a dictionary or list of arrays, found an integer",
      Pickle().int(1).stop),
    Malformed(
      "magic only",
      "format: file @ 15: expected a pickle of protocol 2 to 4", legacyMagic),
    Malformed(
      "protocol version 1000",
      "unsupported: file: expected protocol version 1001 of torch.save",
      legacyMagic + Pickle().int(1000).stop),
    Malformed(
      "big-endian stream",
      "unsupported: file: expected little-endian storages",
      torchLegacy(weightAndBias(isLegacy: true), littleEndianFlag: 0x89)),
    Malformed(
      "no storages",
      "format: file @ 336: storage '0' is not in the file",
      torchLegacy(weightAndBias(isLegacy: true))),
    Malformed(
      "unknown storage",
      "format: file @ 342: expected the key of a storage in use, found '9'",
      torchLegacy(weightAndBias(isLegacy: true), storages: [("9", 0, [])])),
    Malformed(
      "storage twice",
      "format: file @ 364: storage '1' is listed twice",
      torchLegacy(
        weightAndBias(isLegacy: true),
        storages: [("1", 2, littleEndian(biasNumbers)), ("1", 2, littleEndian(biasNumbers))])),
    Malformed(
      "other size",
      "format: file @ 342: expected 2 elements in storage '1', found 3",
      torchLegacy(weightAndBias(isLegacy: true), storages: [("1", 3, littleEndian(biasNumbers))])),
    Malformed(
      "size of -1",
      "format: file @ 342: expected 2 elements in storage '1', found -1",
      torchLegacy(weightAndBias(isLegacy: true), storages: [("1", -1, littleEndian(biasNumbers))])),
    Malformed(
      "bytes behind the storages",
      "format: file @ 396: expected the end, found 1 bytes", validLegacy + [0]),
    Malformed(
      "view of a storage",
      "unsupported: file @ 101: views of storages are not supported: save again with a later PyTorch",
      torchLegacy(
        Pickle().mark.text("storage").global("torch", "FloatStorage").text("0").text("cpu").int(1)
          .emptyTuple.tuple.persistent.stop)),
    Malformed(
      "keys no list",
      "format: file @ 56: expected a list of storage keys, found None",
      Array(torchLegacy(Pickle().none.stop).dropLast(6)) + Pickle().none.stop),
    Malformed(
      "code",
      "unsupported: file @ 50: expected tensors only, found a reference to 'posix.system', which is not called",
      torchLegacy(Pickle().global("posix", "system").stop)),
  ]

  @Test(arguments: malformedZips + malformedPickles + malformedStreams)
  func malformedFilesAreErrors(file: Malformed) {
    #expect(outcome { try readAll(file.bytes) } == file.expected)
  }

  /// Every opcode that takes something from the stack, on an empty one and behind a mark.
  @Test func everyOpcodeChecksTheStack() {
    let operands: [(UInt8, [UInt8])] = [
      (0x30, []), (0x31, []), (0x32, []), (0x74, []), (0x85, []), (0x86, []), (0x87, []),
      (0x6C, []),
      (0x61, []), (0x65, []), (0x64, []), (0x73, []), (0x75, []), (0x90, []), (0x91, []),
      (0x71, [0]), (0x72, [0, 0, 0, 0]), (0x94, []), (0x93, []), (0x52, []), (0x81, []), (0x62, []),
      (0x51, []),
    ]
    for (code, operand) in operands {
      let text = outcome { try readAll(pickled(Pickle().adding([code] + operand).stop)) }
      #expect(
        text.contains("takes a value from an empty stack") || text.contains("finds no mark"),
        "\(code): \(text)")
    }
    for (code, operand) in operands where ![0x30, 0x31, 0x74, 0x6C, 0x64, 0x91].contains(code) {
      let text = outcome {
        try readAll(pickled(Pickle().none.none.mark.adding([code] + operand).stop))
      }
      #expect(
        text.contains("takes a value from an empty stack") || text.contains("expects a")
          || text.contains("a mark is never closed"), "\(code): \(text)")
    }
  }

  /// Every opcode with an operand, cut inside it.
  @Test func everyOpcodeChecksItsOperand() {
    let counts: [UInt8: Int] = [
      0x4A: 4, 0x4B: 1, 0x4D: 2, 0x8A: 1, 0x8B: 4, 0x47: 8, 0x58: 4, 0x8C: 1, 0x8D: 8, 0x54: 4,
      0x55: 1, 0x42: 4, 0x43: 1, 0x8E: 8, 0x71: 1, 0x72: 4, 0x68: 1, 0x6A: 4, 0x95: 8,
    ]
    for (code, count) in counts {
      for length in 0..<count {
        let bytes = Pickle().none.adding([code] + [UInt8](repeating: 1, count: length)).bytes
        let text = outcome { try readAll(pickled(bytes)) }
        #expect(text.hasPrefix("format: file: model/data.pkl @ "), "\(code), \(length): \(text)")
      }
    }
  }

  @Test func hugePicklesAreBounded() {
    let million = 1_000_000
    let nested = Pickle().emptyTuple.adding([UInt8](repeating: 0x85, count: 400_000)).stop
    #expect(
      outcome { try readAll(pickled(nested)) }
        == "unsupported: file: expected a dictionary of tensors, found a tuple")
    let deeper = Pickle().emptyTuple.adding([UInt8](repeating: 0x85, count: million)).stop
    #expect(
      outcome { try readAll(pickled(deeper)) }
        == "limit: file: model/data.pkl @ 500002: expected at most 500000 values")
    let marks = Pickle().adding([UInt8](repeating: 0x28, count: million)).stop
    #expect(
      outcome { try readAll(pickled(marks)) }
        == "limit: file: model/data.pkl @ 500002: expected at most 500000 values")
    let memo = Pickle(protocol: 4).none.adding([UInt8](repeating: 0x94, count: million)).stop
    #expect(
      outcome { try readAll(pickled(memo)) }
        == "limit: file: model/data.pkl @ 500002: expected at most 500000 values")
    // Ten levels of tuples, each of ten times the one before: shared, not copied.
    var laughs = Pickle().text("lol")
    for level in 0..<10 {
      laughs = laughs.adding([0x71, UInt8(level)]).op("0").mark
      for _ in 0..<10 { laughs = laughs.adding([0x68, UInt8(level)]) }
      laughs = laughs.tuple
    }
    #expect(
      outcome { try readAll(pickled(laughs.stop)) }
        == "unsupported: file: expected a dictionary of tensors, found a tuple")
    // A list that contains itself.
    let cycle = Pickle().op("]").adding([0x71, 0, 0x68, 0]).op("a").stop
    #expect(
      outcome { try readAll(pickled(cycle)) }
        == "unsupported: file: expected a dictionary of tensors, found a list")
    // A list copied into a dictionary again and again.
    var pairs = Pickle().global("collections", "OrderedDict").adding([0x71, 0]).op("]").adding([
      0x71, 1,
    ]).mark
    for _ in 0..<1000 { pairs = pairs.none.none.adding([0x86]) }
    pairs = pairs.op("e")
    for _ in 0..<2000 { pairs = pairs.op("0").adding([0x68, 0, 0x68, 1, 0x85, 0x52]) }
    #expect(
      outcome { try readAll(pickled(pairs.stop)) }
        == "limit: file: model/data.pkl @ 4776: expected at most 500000 values")
  }

  // MARK: - What must load

  @Test func viewsAreMaterialised() throws {
    let data = littleEndian((0..<12).map(Float.init))
    func read(offset: Int = 0, size: [Int], stride: [Int]) throws -> [Float] {
      let file = view(count: 12, offset: offset, size: size, stride: stride, data: data)
      return try #require(try readAll(file)["a"]).elements(as: Float.self)
    }
    #expect(try read(size: [3, 4], stride: [4, 1]) == (0..<12).map(Float.init))
    #expect(try read(size: [4, 3], stride: [1, 4]) == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11])
    #expect(try read(offset: 5, size: [2], stride: [3]) == [5, 8])
    #expect(try read(offset: 11, size: [], stride: []) == [11])
    #expect(try read(offset: 2, size: [2, 3], stride: [0, 1]) == [2, 3, 4, 2, 3, 4])
    #expect(try read(size: [0, 5], stride: [5, 1]) == [])
    #expect(try read(offset: 1, size: [1, 2, 1, 2], stride: [99, 4, 99, 2]) == [1, 3, 5, 7])
  }

  @Test func sharedStoragesReadOnce() throws {
    let pickle = Pickle().emptyDictionary.mark
      .text("a").tensor(key: "0", count: 4, size: [2], stride: [1])
      .text("b").tensor(key: "0", count: 4, offset: 2, size: [2], stride: [1])
      .text("c").tensor(key: "0", count: 4, size: [2, 2], stride: [2, 1]).setItems.stop
    let file = torchZip(pickle, storages: ["0": littleEndian([1, 2, 3, 4])]).bytes
    let tensors = try readAll(file)
    #expect(tensors["a"]?.elements(as: Float.self) == [1, 2])
    #expect(tensors["b"]?.elements(as: Float.self) == [3, 4])
    #expect(tensors["c"]?.elements(as: Float.self) == [1, 2, 3, 4])
  }

  @Test(arguments: ["state_dict", "model_state_dict", "model"])
  func nestedStateDictionariesAreFound(name: String) throws {
    let inner = Array(weightAndBias().dropFirst(2).dropLast())
    let pickle = Pickle().emptyDictionary.mark.text("epoch").int(3).text(name).adding(inner)
      .text("ema").adding(inner).setItems.stop
    let file = torchZip(
      pickle, storages: ["0": littleEndian(weightNumbers), "1": littleEndian(biasNumbers)]
    ).bytes
    let source = try openTensorSource(bytes: file, name: "file")
    #expect(source.keys == ["weight", "bias"])
    #expect(source.provenance == "file (PyTorch zip, \(name))")
  }

  @Test func parametersOrderedDictionariesAndMetadataLoad() throws {
    let tensor = Pickle().tensor(key: "0", count: 1, size: [1], stride: [1]).bytes.dropFirst(2)
    let ordered = Pickle().global("collections", "OrderedDict")
    let parameter = Pickle().global("torch._utils", "_rebuild_parameter").mark.adding(Array(tensor))
      .adding([0x88]).adding(Array(ordered.emptyTuple.reduce.bytes.dropFirst(2))).tuple.reduce
    let pair = Pickle().op("]").text("p").op("a").adding(Array(parameter.bytes.dropFirst(2))).op(
      "a")
    let pickle = ordered.mark.op("]").adding(Array(pair.bytes.dropFirst(2))).op("a").tuple.reduce
      .emptyDictionary.mark.text("_metadata").emptyDictionary.setItems.op("b").stop
    let file = torchZip(pickle, storages: ["0": littleEndian([Float(5)])]).bytes
    #expect(try readAll(file)["p"]?.elements(as: Float.self) == [5])
  }

  @Test func elementTypesAreKept() throws {
    let types: [(String, ElementType, Int)] = [
      ("HalfStorage", .float16, 2), ("BFloat16Storage", .bfloat16, 2),
      ("DoubleStorage", .float64, 8),
      ("LongStorage", .int64, 8), ("IntStorage", .int32, 4), ("ShortStorage", .int16, 2),
      ("CharStorage", .int8, 1), ("ByteStorage", .uint8, 1), ("BoolStorage", .bool, 1),
    ]
    for (name, type, size) in types {
      let data = [UInt8](repeating: 1, count: 4 * size)
      let tensor = try readAll(view(type: name, size: [4], stride: [1], data: data))["a"]
      #expect(tensor?.type == type)
      #expect(tensor?.withBytes { $0.elementsEqual(data) } == true)
    }
  }

  @Test func archivesAsPyTorchWritesThemLoad() throws {
    // Streamed entries with zero local sizes, padded by an extra field, behind a zip64 end record.
    var zip = validZip
    zip.usesZip64 = true
    for index in zip.entries.indices {
      zip.entries[index].flags = 0x808
      zip.entries[index].localExtra = [0x46, 0x42, 4, 0, 0x5A, 0x5A, 0x5A, 0x5A]
    }
    #expect(equalBytes(try readAll(zip.bytes), try expectedTensors()))
  }

  @Test func deflatedEntriesLoad() throws {
    // One stored block: final bit, length, complement, bytes.
    let data = littleEndian(weightNumbers)
    let length = UInt16(data.count)
    let deflated = [1] + littleEndian(length) + littleEndian(~length) + data
    func file(_ packed: [UInt8], size: UInt32 = 24) -> [UInt8] {
      edited {
        $0.entries[2].data = packed
        $0.entries[2].method = 8
        $0.entries[2].uncompressedSize = size
        $0.entries[2].centralChecksum = ZipFixture.checksum(data)
      }
    }
    #expect(equalBytes(try readAll(file(deflated)), try expectedTensors()))
    #expect(
      outcome { try readAll(file(deflated, size: 20)) }
        == "format: file: model/data/0: expected 24 bytes, found 20")
    #expect(
      outcome { try readAll(file(Array(deflated.dropLast(4)))) }
        == "format: file: model/data/0: expected 25 deflated bytes to give 24, found 25 giving 20")
    #expect(
      outcome { try readAll(file(deflated + [0])) }
        == "format: file: model/data/0: expected 30 deflated bytes to give 24, found 29 giving 24")
  }

  @Test(.enabled(if: SharedData.isAvailable)) func realFilesGiveTheirBytes() throws {
    guard let pt = SharedData.path("weights/mnist_cnn.pt"),
      let safe = SharedData.path("weights/mnist_cnn.safetensors")
    else { return }
    // Two trainings of one network: the checksums are those that an independent reader computed.
    let checksums: [String: [String: UInt32]] = [
      "pt": [
        "conv1.bias": 0xF56ADC15,
        "conv1.weight": 0x049192CA,
        "conv2.bias": 0xD7E97BB2,
        "conv2.weight": 0xA5F353CA,
        "conv3.bias": 0xD7E0E5C7,
        "conv3.weight": 0xACDA7A2E,
        "fc1.bias": 0x7A86C2AD,
        "fc1.weight": 0x24A557E4,
        "fc2.bias": 0x069F559C,
        "fc2.weight": 0xE9BC5610,
        "norm1.bias": 0xAB733967,
        "norm1.num_batches_tracked": 0x4CB5580D,
        "norm1.running_mean": 0x1DACF52D,
        "norm1.running_var": 0x76B49235,
        "norm1.weight": 0x5603494D,
        "norm2.bias": 0x275D6DFD,
        "norm2.num_batches_tracked": 0x4CB5580D,
        "norm2.running_mean": 0x54A012E8,
        "norm2.running_var": 0x35754575,
        "norm2.weight": 0xCA765EF5,
      ],
      "safetensors": [
        "conv1.bias": 0xA5E9156B,
        "conv1.weight": 0xB0EFF13B,
        "conv2.bias": 0xE204C658,
        "conv2.weight": 0x362F955F,
        "conv3.bias": 0x7278BF1F,
        "conv3.weight": 0x63F455F1,
        "fc1.bias": 0x6DA73B0B,
        "fc1.weight": 0x2CB53576,
        "fc2.bias": 0x414C7346,
        "fc2.weight": 0x8508E47E,
        "norm1.bias": 0x00CAA7F2,
        "norm1.num_batches_tracked": 0x360DD1A1,
        "norm1.running_mean": 0x0606CE24,
        "norm1.running_var": 0x3422AB86,
        "norm1.weight": 0x3091DE79,
        "norm2.bias": 0x3E8CA96D,
        "norm2.num_batches_tracked": 0x360DD1A1,
        "norm2.running_mean": 0x58804327,
        "norm2.running_var": 0x43D9246D,
        "norm2.weight": 0xDBCA8752,
      ],
    ]
    for (path, expected) in checksums {
      let source = try openTensorSource(path: path == "pt" ? pt : safe)
      #expect(Set(source.keys) == Set(expected.keys))
      for (key, checksum) in expected {
        let tensor = try source.tensor(key)
        #expect(tensor.withBytes { ZipFixture.checksum(Array($0)) } == checksum, "\(path): \(key)")
      }
    }
  }

  @Test(.enabled(if: SharedData.isAvailable)) func realLegacyFilesLoad() throws {
    guard let path = SharedData.path("weights/cifar_resnet20-12fca82f.th") else { return }
    let source = try openTensorSource(path: path)
    #expect(source.keys.count == 97)
    #expect(source.keys.first == "module.conv1.weight")
    #expect(try source.spec("module.linear.weight") == TensorSpec([10, 64]))
    let bytes = try Data(contentsOf: URL(filePath: path))
    let bias = try source.tensor("module.linear.bias")
    // The last storage of the file is not the last tensor; its bytes stand there once.
    let raw = bias.withBytes { Data($0) }
    #expect(bytes.ranges(of: raw).count == 1)
  }
}
