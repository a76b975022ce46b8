import { Malformed } from '../base/errors.ts';
import { AttributeList, RESOURCE_ATTRIBUTES, SCOPE_ATTRIBUTES, parseAttributes } from '../otlp/attributes.ts';
import { Cursor, EMPTY, WIRE_LEN, WIRE_VARINT } from '../wire/cursor.ts';

const SERVICE_NAME = Buffer.from('service.name');

/**
 * The resource and scope above the items that are being encoded, as offsets. `resourceSerial` and `scopeSerial` rise with each
 * resource and scope, so that a block knows when it may repeat what it wrote for the row before.
 */
export class Context {
  bytes: Buffer = EMPTY;
  resourceSerial = 0;
  scopeSerial = 0;
  /** The resource or the scope does not follow the wire format: nothing below it can be stored. */
  malformed = false;
  readonly resourceAttributes = new AttributeList();
  resourceUrlStart = 0;
  resourceUrlStop = 0;
  /** The AnyValue of `service.name`; an empty range where there is none. */
  serviceStart = 0;
  serviceStop = 0;
  readonly scopeAttributes = new AttributeList();
  scopeNameStart = 0;
  scopeNameStop = 0;
  scopeVersionStart = 0;
  scopeVersionStop = 0;
  scopeDropped = 0;
  scopeUrlStart = 0;
  scopeUrlStop = 0;
  private resourceMalformed = false;
  private readonly cursor = new Cursor();

  resource(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.resourceSerial++;
    this.resourceUrlStart = urlStart;
    this.resourceUrlStop = urlStop;
    this.serviceStart = this.serviceStop = 0;
    this.resourceMalformed = false;
    const { bytes, resourceAttributes } = this;
    try {
      parseAttributes(bytes, start, stop, RESOURCE_ATTRIBUTES, resourceAttributes);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.resourceMalformed = true;
    }
    const service = resourceAttributes.find(bytes, SERVICE_NAME);
    if (service < 0) return;
    this.serviceStart = resourceAttributes.valueStart(service);
    this.serviceStop = resourceAttributes.valueStop(service);
  }

  scope(start: number, stop: number, urlStart: number, urlStop: number): void {
    this.scopeSerial++;
    this.scopeUrlStart = urlStart;
    this.scopeUrlStop = urlStop;
    this.malformed = this.resourceMalformed;
    try {
      this.parseScope(start, stop);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.malformed = true;
    }
  }

  private parseScope(start: number, stop: number): void {
    const { bytes } = this;
    this.scopeNameStart = this.scopeNameStop = this.scopeVersionStart = this.scopeVersionStop = this.scopeDropped = 0;
    const cursor = this.cursor.reset(bytes, start, stop);
    while (cursor.next()) {
      if (cursor.field === 1) {
        cursor.expect(WIRE_LEN);
        this.scopeNameStart = cursor.start;
        this.scopeNameStop = cursor.stop;
      } else if (cursor.field === 2) {
        cursor.expect(WIRE_LEN);
        this.scopeVersionStart = cursor.start;
        this.scopeVersionStop = cursor.stop;
      } else if (cursor.field === 4) {
        cursor.expect(WIRE_VARINT);
        this.scopeDropped = cursor.lo;
      }
    }
    parseAttributes(bytes, start, stop, SCOPE_ATTRIBUTES, this.scopeAttributes);
  }
}
