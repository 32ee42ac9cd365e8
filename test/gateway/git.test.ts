import { gitSuite } from '../clients/git-suite.ts';
import { openGateway } from '../support/place.ts';

gitSuite('through the gateway', () => openGateway());
