import CLamina
import LaminaCore

/// `lamina_version` of `lamina.h`.
@_cdecl("lamina_version") @implementation
public func lamina_version() -> UnsafePointer<CChar>? { versionText }

private nonisolated(unsafe) let versionText = immortal(
  "\(LAMINA_VERSION_MAJOR).\(LAMINA_VERSION_MINOR).\(LAMINA_VERSION_PATCH)")

/// `lamina_abi_version` of `lamina.h`.
@_cdecl("lamina_abi_version") @implementation
public func lamina_abi_version() -> UInt32 { UInt32(LAMINA_ABI_VERSION) }

/// `lamina_status_name` of `lamina.h`.
@_cdecl("lamina_status_name") @implementation
public func lamina_status_name(_ status: lamina_status) -> UnsafePointer<CChar>? {
  let name: StaticString =
    switch LaminaError.Code(rawValue: status) {
    case .argument: "argument"
    case .handle: "handle"
    case .state: "state"
    case .shape: "shape"
    case .buffer: "buffer"
    case .notFound: "not found"
    case .format: "format"
    case .unsupported: "unsupported"
    case .graph: "graph"
    case .weights: "weights"
    case .image: "image"
    case .io: "io"
    case .limit: "limit"
    case .busy: "busy"
    case .cancelled: "cancelled"
    case .forked: "forked"
    case .internal: "internal"
    case nil: status == 0 ? "ok" : "unknown"
    }
  return UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// `lamina_type_size` of `lamina.h`.
@_cdecl("lamina_type_size") @implementation
public func lamina_type_size(_ type: Int32) -> Int { ElementType(code: type)?.byteCount ?? 0 }
