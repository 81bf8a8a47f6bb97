import { reactions as reactionList } from '../model/reaction';
import { cancelUnpaidOrder, capturePaymentOfOrder, sendReceipt } from './order/reactions';

/** What the shop does in the world because of what happened. */
export const reactions = reactionList([capturePaymentOfOrder, cancelUnpaidOrder, sendReceipt]);
