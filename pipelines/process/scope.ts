import { AttributeList, RESOURCE_ATTRIBUTES, SCOPE_ATTRIBUTES, parseAttributes } from '../otlp/attributes.ts';
import { Cursor, EMPTY, WIRE_LEN } from '../wire/cursor.ts';

/*
 * opentelemetry-proto common/v1/common.proto
 *
 *   InstrumentationScope { string name = 1; string version = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4 }
 */

/**
 * What surrounds an item: the attributes of its resource, and name, version and attributes of its instrumentation scope,
 * as offsets into one buffer. A walker sets it once per resource and once per scope, never per item:
 *
 *   resource(start, stop) { scope.setResource(bytes, start, stop); }
 *   scope(start, stop)    { scope.setScope(bytes, start, stop); }
 *
 * Items read under it must lie in the same buffer. Bytes are borrowed.
 */
export class ItemScope {
  bytes: Buffer = EMPTY;
  readonly resourceAttributes = new AttributeList();
  readonly scopeAttributes = new AttributeList();
  nameStart = 0;
  nameStop = 0;
  versionStart = 0;
  versionStop = 0;
  private readonly cursor = new Cursor();

  /** Reads the Resource at bytes[start, stop); an empty range is a resource without attributes. Forgets the scope before it. @throws Malformed */
  setResource(bytes: Buffer, start: number, stop: number): void {
    this.bytes = bytes;
    parseAttributes(bytes, start, stop, RESOURCE_ATTRIBUTES, this.resourceAttributes);
    this.setScope(bytes, 0, 0);
  }

  /** Reads the InstrumentationScope at bytes[start, stop); an empty range is a scope without a name. @throws Malformed */
  setScope(bytes: Buffer, start: number, stop: number): void {
    this.nameStart = this.nameStop = this.versionStart = this.versionStop = 0;
    this.scopeAttributes.clear();
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      if (cursor.field > SCOPE_ATTRIBUTES) continue;
      cursor.expect(WIRE_LEN);
      if (cursor.field === 1) {
        this.nameStart = cursor.start;
        this.nameStop = cursor.stop;
      } else if (cursor.field === 2) {
        this.versionStart = cursor.start;
        this.versionStop = cursor.stop;
      } else {
        this.scopeAttributes.add(bytes, cursor.start, cursor.stop);
      }
    }
  }
}
