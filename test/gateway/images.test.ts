import { imagesSuite } from '../clients/images-suite.ts';
import { openGateway } from '../support/place.ts';

imagesSuite('through the gateway', () => openGateway(), 501);
